"""What the command lines have in common.

Flags and their meaning are those of mmseg's own tools; the rest is ours.
"""

import argparse
import os.path as osp
import re

from mmengine.config import DictAction

from ..atrous import check_output_stride
from .main import COMMANDS
from .shipped_configs import shipped, shipped_config


def examples(*lines: str) -> dict:
    """Arguments of a parser whose help ends with examples, what stands behind its name in each."""
    epilog = '\n'.join(['examples:', *(f'  %(prog)s {line}' for line in lines)])
    return dict(epilog=epilog, formatter_class=_LinesKept)


def as_typed(prog: str, text: str) -> str:
    """A text in which our tools are named as the user of ``prog`` types them.

    The console script has them as its subcommands. Paths that end like a tool stay.
    """

    def typed(match: re.Match) -> str:
        name = match[1].replace('_', '-')
        return f'deeplabv3x {name}' if name in COMMANDS else match[0]

    is_script = prog.startswith('deeplabv3x ')
    return re.sub(r'(?<![\w./-])(?:python )?tools/(\w+)\.py\b', typed, text) if is_script else text


class _LinesKept(argparse.HelpFormatter):
    """Fills all texts but examples."""

    def _fill_text(self, text, width, indent):
        return text if text.startswith('examples:') else super()._fill_text(text, width, indent)


def runner_parser(description: str, work_dir: str, *lines: str) -> argparse.ArgumentParser:
    """What training and evaluation share; ``work_dir`` says what goes there, ``lines`` examples."""
    parser = argparse.ArgumentParser(description=description, **examples(*lines))
    parser.add_argument('config', type=config_file, help='config file, or the name of one of ours')
    parser.add_argument('--work-dir', help=f'folder for {work_dir}')
    parser.add_argument(
        '--other-classes',
        action='store_true',
        help='take a checkpoint whose classes have other names or another order',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (default: none, there is one)',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, as in model.output_stride=8 or key="[a,b]"',
    )


class _Settings(DictAction):
    """mmengine's action, whose errors end the tool as those of other arguments do."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError):
            raise argparse.ArgumentError(
                self, f'expected KEY=VALUE with paired brackets, but got {" ".join(values)!r}'
            ) from None


def config_file(path: str) -> str:
    """Find a config file, given as an argument; the bare name of one that comes with us will do."""
    if not osp.isfile(path):
        own = shipped_config(path)
        if osp.dirname(path) or not own.is_file():
            raise argparse.ArgumentTypeError(
                f'there is no config file {path!r}; ours are in {shipped("configs")}'
            )
        return str(own)
    if not path.endswith(('.py', '.yml', '.yaml', '.json')):
        raise argparse.ArgumentTypeError(f'a config is a .py, .yml or .json file, but got {path!r}')
    return path


def config_or_dash(path: str) -> str | None:
    """Check a config file; - stands for the config in the checkpoint, None."""
    return None if path == '-' else config_file(path)


def checkpoint_file(path: str) -> str:
    """Check that a checkpoint, given as an argument, is there; an address passes."""
    if '://' not in path and not osp.isfile(path):
        raise argparse.ArgumentTypeError(f'there is no checkpoint file {path!r}')
    return path


def seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f'a seed is a whole number from 0 to 4294967295, but got {text!r}'
        )
    return int(text)


def at_least_1(text: str) -> int:
    """Read a number of things."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be a whole number of at least 1, but got {text!r}')
    return int(text)


def output_stride(text: str) -> int:
    """Read an output_stride."""
    try:
        return check_output_stride(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def scale(text: str) -> float:
    """Read a scale of images."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(
            f"a scale is a number above 0, 1.0 for the image's own size, but got {text!r}"
        )
    return value
