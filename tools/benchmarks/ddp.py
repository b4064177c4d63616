"""Two processes on this machine's CPU against one: what is left of twice the speed, and why."""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch
import torch.distributed as dist
from common.markdown_table import markdown_table
from mmengine.model import MMDistributedDataParallel

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, config_file
from mmseg_deeplabv3x.engine.hooks.gradient_compression_hook import GradientCompressionHook
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import track

from .scale import Point, load_network, random_batch
from .timing import spread

PROCESSES = 2
ALONE, APART, TOGETHER, COMPRESSED = VARIANTS = (
    'one process',
    'two, nothing exchanged',
    'two',
    'two, GradientCompressionHook',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('config', type=config_file, help='config of the network and its optimizer')
    parser.add_argument('--crop', type=int, default=321, help='side of the crops')
    parser.add_argument('--batch', type=int, default=2, help='images of each process')
    parser.add_argument('--rounds', type=int, default=5, help='each variant takes one step a round')
    parser.add_argument('--threads', type=int, default=1, help='of each process')
    parser.add_argument('--json', metavar='FILE', help='also write every time that was taken')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> str:
    """Time training steps in turns: alone, side by side, and with the gradients exchanged.

    The processes talk through gloo, over the loopback device, whose counter tells the traffic (on
    Linux; that of other programs is in it). GPUs are left alone.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table: 'median (least to most)' of the rounds. Times are the slower process's:
        by the clock, which needs an idle machine, and of the CPU. Efficiency is the time of one
        process over this one's within a round.
    """
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            _process, args=(args, folder), nprocs=PROCESSES, start_method='spawn'
        )
        result = json.loads(Path(folder, 'result.json').read_text())
    if args.json:
        write_file(args.json, json.dumps(result, indent=1) + '\n')
    return _table(result, args)


def _table(result, args):
    ms, cpu_ms, mib = result['ms'], result['cpu_ms'], result['mib']
    lines = [
        f'{result["parameters"] / 1e6:.1f} M parameters, {args.batch}x{args.crop}x{args.crop} a '
        f'process, {args.threads} thread(s) each, torch {torch.__version__}',
        '',
    ]
    titles = [
        '',
        'ms a step',
        'CPU ms',
        'img/s',
        'efficiency',
        'CPU efficiency',
        'MiB sent by each',
    ]
    rows = []
    for variant in VARIANTS:
        images = args.batch * (1 if variant == ALONE else PROCESSES)
        cells = [
            variant,
            spread(ms[variant], '.0f'),
            spread(cpu_ms[variant], '.0f'),
            f'{1e3 * images / median(ms[variant]):.2f}',
            *('1' if variant == ALONE else _over(times, ALONE, variant) for times in (ms, cpu_ms)),
            f'{median(mib[variant]):.1f}',
        ]
        rows.append(cells)
    share, cpu_share = (
        spread([100 * (1 - a / b) for a, b in zip(times[APART], times[TOGETHER])], '.0f')
        for times in (ms, cpu_ms)
    )
    end = f'Of a step of two, the exchange takes {share} %, of its CPU time {cpu_share} %.'
    return '\n'.join([*lines, markdown_table(titles, rows), '', end])


def _over(times, one, other):
    return spread([a / b for a, b in zip(times[one], times[other])], '.2f')


def _process(rank, args, folder):
    torch.set_num_threads(args.threads)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=PROCESSES
    )
    batch = random_batch(Point(args.crop, args.batch, None, 2))
    plain, optimizer = _distributed(args)
    compressed, its_optimizer = _distributed(args)
    GradientCompressionHook().before_train(SimpleNamespace(model=compressed))

    def alone():
        if rank == 0:
            plain.module.train_step(batch, optimizer)

    def apart():
        with plain.no_sync():
            plain.train_step(batch, optimizer)

    variants = {
        ALONE: alone,
        APART: apart,
        TOGETHER: lambda: plain.train_step(batch, optimizer),
        COMPRESSED: lambda: compressed.train_step(batch, its_optimizer),
    }
    ms, cpu_ms, mib = ({variant: [] for variant in variants} for _ in range(3))
    rounds = range(args.rounds + 1)  # the first one warms up
    for number in track(rounds, 'rounds') if rank == 0 else rounds:
        for name, variant in variants.items():
            for values, value in zip((ms, cpu_ms, mib), _measure(variant)):
                values[name] += [value] * (number > 0)
    if rank == 0:
        parameters = sum(p.numel() for p in plain.parameters())
        result = dict(parameters=parameters, ms=ms, cpu_ms=cpu_ms, mib=mib)
        Path(folder, 'result.json').write_text(json.dumps(result))
    dist.destroy_process_group()


def _distributed(args):
    model, optimizer = load_network(args.config, args.cfg_options)
    return MMDistributedDataParallel(model.train(), broadcast_buffers=False), optimizer


def _measure(variant):
    """Milliseconds of the slower process, its CPU time, and MiB that each sent."""
    dist.barrier()
    before = _loopback_bytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    variant()
    taken = torch.tensor([time.perf_counter() - start, time.process_time() - cpu_start])
    dist.all_reduce(taken, dist.ReduceOp.MAX)
    sent = (_loopback_bytes() - before) / PROCESSES / 2**20
    return *(1e3 * taken).tolist(), sent


def _loopback_bytes():
    try:
        lines = Path('/proc/net/dev').read_text().splitlines()
    except OSError:
        return float('nan')
    return next(int(line.split()[1]) for line in lines if line.split()[0] == 'lo:')
