"""Whole data loaders: samples a second by workers and prefetching, and what their workers take."""

import argparse
import json
import multiprocessing
import os
import re
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import torch
from common.markdown_table import markdown_table
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, config_file
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import track

from . import pipeline
from .timing import spread

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument(
        'config',
        nargs='?',
        type=config_file,
        help='whose train_dataloader and val_dataloader to measure, on its data; without one, '
        'batches of 16 crops of 513x513 from drawn files as large as those of PASCAL VOC',
    )
    add_cfg_options(parser)
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 1, 2, 4], metavar='N')
    parser.add_argument(
        '--prefetch', type=int, nargs='+', default=[2, 4], metavar='N', help='prefetch_factor'
    )
    parser.add_argument('--batches', type=int, default=16, help='timed of each loader in a round')
    parser.add_argument('--rounds', type=int, default=3, help='each loader is timed once a round')
    parser.add_argument('--json', metavar='FILE', help='also write every number')


def run(args: argparse.Namespace) -> str:
    """Time the loaders in turns, each built as a runner builds it, with nobody else to wait for.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        Markdown tables, one for training and one for validation. Wall-clock times, since a loader
        is several processes: look at the load of the machine. 'median (least to most)' of the
        rounds; 'over the first' is the ratio of the rates within a round. Memory: of a worker
        alone, without what it shares with the process that it was forked from. Needs Linux's /proc.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmseg'):
        variants = [train_variants(args.workers, args.prefetch), val_variants(args.workers)]
        results = {
            name: _compare(loader, variants, args)
            for name, loader, variants in zip(('train', 'val'), _loaders(args, folder), variants)
        }
    if args.json:
        write_file(args.json, json.dumps(dict(device=DEVICE, **results), indent=1) + '\n')
    load = f'load of the machine: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores'
    pinned = '' if DEVICE == 'cuda' else '; pin_memory not measured: there is no GPU'
    return '\n\n'.join([load + pinned, *(_table(name, rows) for name, rows in results.items())])


def train_variants(workers: list[int], prefetch: list[int]) -> list[dict]:
    """What to try on a loader without end; on a GPU, pinned memory too.

    Args:
        workers: Numbers of them.
        prefetch: Batches that each worker makes ahead.

    Returns:
        Settings of the loader.
    """
    pin = [False, True] if DEVICE == 'cuda' else [False]
    return [
        dict(num_workers=number, prefetch_factor=ahead, pin_memory=pinned)
        for number in workers
        for ahead in (prefetch if number else [None])
        for pinned in pin
    ]


def val_variants(workers: list[int]) -> list[dict]:
    """What to try on a loader whose passes end: the workers may wait for the next one.

    Args:
        workers: Numbers of them.

    Returns:
        Settings of the loader.
    """
    return [
        dict(num_workers=number, persistent_workers=persistent)
        for number in workers
        for persistent in ([False, True] if number else [False])
    ]


def _loaders(args, folder):
    if args.config:
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options)
        return [dict(cfg.train_dataloader), dict(cfg.val_dataloader)]
    case = pipeline.CASES[0]
    pipeline.write_files(folder, case, 64)
    files = dict(
        type='BaseSegDataset',
        data_root=folder,
        img_suffix=case.image_suffix,
        seg_map_suffix=f'_labels{case.label_suffix}',
    )
    whole = [dict(type=name) for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')]
    train = dict(
        batch_size=16,
        sampler=dict(type='SeededInfiniteSampler'),
        dataset=dict(files, pipeline=pipeline.pipelines(case)[1]),
    )
    val = dict(
        batch_size=1, sampler=dict(type='DefaultSampler'), dataset=dict(files, pipeline=whole)
    )
    return [train, val]


def _compare(loader, variants, args):
    """Every variant with its numbers, lists of one a round."""
    loader['dataset'] = DATASETS.build(loader['dataset'])
    rows = [
        dict(variant=variant, rate=[], cpu=[], first=[], again=[], mib=[]) for variant in variants
    ]
    for row in track(rows * args.rounds, 'variants, in rounds'):
        cfg = {**loader, 'persistent_workers': False, **row['variant']}
        for name, value in measure(cfg, args.batches).items():
            row[name].append(value)
    return rows


def measure(loader: dict, batches: int) -> dict:
    """Build a loader as a runner does, use it, end it.

    Args:
        loader: As in a config, with a dataset that is built.
        batches: Timed for the rate; fewer where a pass ends sooner.

    Returns:
        ``rate``, samples a second; ``cpu``, ms of CPU time a sample, of all processes; ``first``,
        seconds to the first batch; ``again``, the same of the next pass, if passes end; ``mib``,
        memory of its median worker alone, if there is one.

    Raises:
        ValueError: If a pass has no batch left after the first one of each worker.
    """
    # all workers finish their first batch at about the same time: those tell no rate
    ahead = max(loader['num_workers'], 1)
    passes_end = 'Infinite' not in loader['sampler']['type']
    if passes_end:
        whole = len(loader['dataset']) // loader['batch_size']
        if whole <= ahead:
            raise ValueError(
                f'a pass has {whole} full batches, and none is left to time after the first '
                f'{ahead}, one a worker: take fewer --workers, smaller batches or more images.'
            )
        batches = min(batches, whole - ahead)
        loader = dict(loader, num_batch_per_epoch=ahead + batches)
    loader = Runner.build_dataloader(loader, seed=0)
    others = multiprocessing.active_children()
    start = time.perf_counter()
    iterator = iter(loader)
    use(next(iterator))
    numbers = dict(first=time.perf_counter() - start)
    for _ in range(ahead - 1):
        use(next(iterator))
    workers = [child.pid for child in multiprocessing.active_children() if child not in others]
    start, cpu = time.perf_counter(), cpu_seconds(workers)
    for _ in range(batches):
        use(next(iterator))
    samples = batches * loader.batch_size
    numbers['rate'] = samples / (time.perf_counter() - start)
    numbers['cpu'] = 1e3 * (cpu_seconds(workers) - cpu) / samples
    if workers:
        numbers['mib'] = median(own_mib(pid) for pid in workers)
    if passes_end:
        iterator = None  # ends the workers, unless they persist
        start = time.perf_counter()
        use(next(iter(loader)))
        numbers['again'] = time.perf_counter() - start
    return numbers


def use(batch: dict) -> None:
    """Take a batch to where a model would want it.

    Args:
        batch: ``inputs`` and ``data_samples``, lists.
    """
    for item in [*batch['inputs'], *batch['data_samples']]:
        item.to(DEVICE)
    if DEVICE == 'cuda':
        torch.cuda.synchronize()


def cpu_seconds(workers: list[int]) -> float:
    """CPU time of this process and of those with these ids, as Linux tells it."""
    ticks = 0
    for pid in workers:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user, system
    return time.process_time() + ticks / os.sysconf('SC_CLK_TCK')


def own_mib(pid: int) -> float:
    """Memory that a process shares with no other, in MiB, as Linux tells it."""
    text = Path(f'/proc/{pid}/smaps_rollup').read_text()
    return sum(map(int, re.findall(r'Private_\w+: +(\d+) kB', text))) / 1024


def _table(name, rows):
    variants = list(rows[0]['variant'])
    header = [
        f'{name}: {variants[0]}',
        *variants[1:],
        'samples a second',
        'over the first',
        'CPU ms a sample',
        'first batch, s',
        'MiB a worker',
    ]
    if rows[0]['again']:
        header.append('first of the next pass, ms')
    lines = []
    for row in rows:
        ratios = [a / b for a, b in zip(row['rate'], rows[0]['rate'])]
        cells = [
            *('-' if value is None else str(value) for value in row['variant'].values()),
            spread(row['rate'], '.0f'),
            '1' if row is rows[0] else spread(ratios, '.2f'),
            spread(row['cpu'], '.1f'),
            spread(row['first'], '.2f'),
            f'{median(row["mib"]):.0f}' if row['mib'] else '-',
        ]
        if row['again']:
            cells.append(spread([1e3 * value for value in row['again']], '.0f'))
        lines.append(cells)
    return markdown_table(header, lines, texts=len(variants))
