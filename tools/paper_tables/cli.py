"""The logic of ``tools/paper.py``."""

import argparse
import sys
from collections.abc import Sequence

from common.child_process import CommandError

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, examples
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.paper.rows import REFERENCES, ROWS, find_rows

from .compare import compare
from .config import SMALL_DATASETS, row_config
from .runs import run_rows
from .show import describe
from .stages import BOOTSTRAPPED, FIRST, SECOND, run_stages


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says; a problem ends it with one sentence.

    Args:
        argv: The arguments. Default: those of the process.
    """
    args = parser().parse_args(argv)
    try:
        args.command(args)
    except (ValueError, OSError, CommandError) as error:
        sys.exit(f'paper.py: {error}')


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(
        description="The paper's tables, row by row.",
        **examples('show table3/mg121-block7', 'run table5 --dataset camvid'),
    )
    commands = main_parser.add_subparsers(required=True, metavar='COMMAND')

    def command(function, text):
        name = function.__name__.strip('_')
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    sub = command(_list, 'list the rows')
    sub.add_argument('table', nargs='?', default='*', help='table, row or pattern')
    sub = command(_show, "show a row's network, its cost and its settings")
    sub.add_argument('row')
    _add_settings(sub)
    sub = command(_config, 'write a row as a config for tools/train.py')
    sub.add_argument('row')
    sub.add_argument('-o', '--out', required=True, metavar='FILE')
    _add_settings(sub)
    sub = command(_run, 'train and evaluate rows')
    sub.add_argument('rows', nargs='+', metavar='ROW|TABLE', help="or a pattern: 'table2/r50-*'")
    _add_settings(sub)
    sub.add_argument(
        '--seed', type=int, nargs='+', default=[0], help='one run of each row with each'
    )
    sub.add_argument('--work-dir', help='default: work_dirs/paper, or paper_<small dataset>')
    sub = command(_compare, 'compare results with the paper')
    sub.add_argument('work_dir')
    sub = command(_stages, 'train stage 1, then stage 2 from its best checkpoint')
    sub.add_argument('--first', default=FIRST, metavar='CONFIG')
    sub.add_argument('--second', metavar='CONFIG')
    sub.add_argument(
        '--bootstrap', action='store_true', help='duplicate images with hard classes in stage 2'
    )
    sub.add_argument('--work-dir', default='work_dirs/paper_stages')
    add_cfg_options(sub)
    return main_parser


def _add_settings(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        '--dataset',
        choices=['voc', *SMALL_DATASETS],
        help="default: the paper's own. camvid and shapes are trained from scratch",
    )
    sub.add_argument('--iters', type=int, help="length of a training; default: the config's")
    add_cfg_options(sub)


def _list(args: argparse.Namespace) -> None:
    for row in find_rows(args.table):
        remarks = [f'the training of {row.shares}'] if row.shares else []
        remarks += ['reference of its table'] if REFERENCES[row.table] == row.id else []
        remarks += [row.note] if row.note else []
        remark = f' [{"; ".join(remarks)}]' if remarks else ''
        print(f'{row.id:24} {row.miou:6.2f}  {row.change}{remark}')


def _one_row(name: str):
    rows = find_rows(name)
    if len(rows) > 1:
        raise ValueError(f'{name} is {len(rows)} rows, name one: {", ".join(r.id for r in rows)}.')
    return rows[0]


def _row_config(args: argparse.Namespace):
    row = _one_row(args.row)
    return row, row_config(row, args.dataset, args.cfg_options, args.iters)


def _show(args: argparse.Namespace) -> None:
    print(describe(*_row_config(args)))


def _config(args: argparse.Namespace) -> None:
    row, cfg = _row_config(args)
    heading = f'"""{row.id}: {row.change}. Published mIoU: {row.miou:.2f}."""\n\n'
    write_file(args.out, heading + cfg.pretty_text)
    tta = ' --tta' if row.augmented else ''
    print(f'{args.out}: train it with tools/train.py, evaluate it with tools/test.py{tta}')
    if row.shares:
        print(f'its training is that of {row.shares}: {ROWS[row.shares].change}')


def _run(args: argparse.Namespace) -> None:
    rows = {row.id: row for name in args.rows for row in find_rows(name)}
    small = f'_{args.dataset}' * (args.dataset in SMALL_DATASETS)
    work_dir = args.work_dir or f'work_dirs/paper{small}'
    failures = run_rows(
        list(rows.values()), work_dir, args.dataset, args.cfg_options, args.iters, args.seed
    )
    print(f'Results are in {work_dir}: tools/paper.py compare {work_dir}')
    if failures:
        sys.exit(f'paper.py: {len(failures)} failed: ' + '\n'.join(failures))


def _compare(args: argparse.Namespace) -> None:
    print(compare(args.work_dir))
    print(f'{args.work_dir}/comparison.md, .json and .png')


def _stages(args: argparse.Namespace) -> None:
    second = args.second or (BOOTSTRAPPED if args.bootstrap else SECOND)
    checkpoint = run_stages(args.work_dir, args.first, second, args.cfg_options)
    print(f'Trained: {checkpoint}')
