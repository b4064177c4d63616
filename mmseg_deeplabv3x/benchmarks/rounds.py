"""Ways of doing the same thing, timed in turns."""

from __future__ import annotations

import argparse
import io
import json
import platform
from collections.abc import Mapping
from statistics import median
from typing import Callable

import torch

from ..files import write_file
from .memory import peak_extra_memory
from .timing import cpu_ms, spread

Ways = Mapping[str, Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser, rounds: int = 5) -> None:
    """Declare the options that all comparisons share."""
    parser.add_argument('--rounds', type=int, default=rounds, help='each way is timed once a round')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    parser.add_argument('--json', metavar='FILE', help='also write every time that was taken')
    parser.add_argument('--plot', metavar='FILE', help='also draw the table, as a PNG')


def compare(case: str, ways: Ways, rounds: int, memory: bool = True) -> dict:
    """Time every way once a round, after one that does not count.

    Args:
        case (str): What is being done.
        ways (Ways): By name. The others are compared with the first.
        rounds (int): Number of rounds.
        memory (bool): Whether to count memory too, which takes one more call of each.

    Returns:
        dict: ``case``, and by way ``ms`` (one time a round) and ``mib`` (the peak of all new
        tensors, None if not counted).
    """
    mib = {}
    for name, way in ways.items():
        mib[name] = _peak(way) / 2**20 if memory else way() and None
    times = {name: [] for name in ways}
    for number in range(rounds):
        print(f'\r{case}: round {number + 1} of {rounds} ', end='', flush=True)
        for name, way in ways.items():
            times[name].append(elapsed_ms(way))
    print('\r' + ' ' * 70 + '\r', end='', flush=True)
    return dict(case=case, ways={n: dict(ms=times[n], mib=mib[n]) for n in ways})


def _peak(way):
    if not torch.cuda.is_available():
        return peak_extra_memory(way)
    way()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    way()
    return torch.cuda.max_memory_allocated() - before


def elapsed_ms(way: Callable[[], object]) -> float:
    """Milliseconds of one call: by device events on a GPU, else CPU time of this process."""
    if torch.cuda.is_available():
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        way()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    return cpu_ms(way)


def report(results: list[dict], args: argparse.Namespace) -> str:
    """Write what the options ask for.

    Args:
        results (list[dict]): Of :func:`compare`. If one has ``images`` and, by way, ``gflop`` of a
            call, and ``peak_gflops`` of the device, the table has the rates too, by the same time.
        args (argparse.Namespace): With ``json`` and ``plot``.

    Returns:
        str: A Markdown table: 'median (least to most)' of the rounds; 'faster' is the first way's
        time over this one's within a round.
    """
    if args.json:
        record = dict(device=device(), torch=torch.__version__, results=results)
        write_file(args.json, json.dumps(record, indent=1) + '\n')
    if args.plot:
        plot(results, args.plot)
    rated = any('gflop' in result for result in results)
    lines = [
        '| case | way | ms | faster | MiB |' + ' img/s | GFLOP/s | of the peak |' * rated,
        '|---|---|---:|---:|---:|' + '---:|---:|---:|' * rated,
    ]
    for result in results:
        first = next(iter(result['ways'].values()))
        for name, way in result['ways'].items():
            ratios = [a / b for a, b in zip(first['ms'], way['ms'])]
            cells = [
                result['case'],
                name,
                spread(way['ms'], '.2f' if torch.cuda.is_available() else '.0f'),
                '1' if way is first else spread(ratios, '.2f'),
                '-' if way['mib'] is None else f'{way["mib"]:.0f}',
            ]
            if rated:
                cells += _rates(result, name)
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join([device(), '', *lines])


def _rates(result, name):
    seconds = median(result['ways'][name]['ms']) / 1e3
    gflops = result['gflop'][name] / seconds
    return [
        f'{result["images"] / seconds:.2f}',
        f'{gflops:.0f}',
        f'{gflops / result["peak_gflops"]:.0%}',
    ]


def device() -> str:
    """The device that is measured, in words."""
    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()}, torch {torch.__version__}'
    return (
        f'{platform.machine()} CPU, {torch.get_num_threads()} thread(s), torch {torch.__version__}'
    )


def plot(results: list[dict], path: str) -> None:
    """Draw bars of the medians.

    Args:
        results (list[dict]): Each with a ``case``, and ``ways`` with the ``ms`` of their rounds.
        path (str): The PNG.
    """
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    bars = sum(len(result['ways']) + 1 for result in results)
    figure = Figure(figsize=(9, 1 + 0.3 * bars), layout='constrained')
    axes = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for axis, result in zip(axes, results):
        names = list(result['ways'])
        middle = [median(result['ways'][name]['ms']) for name in names]
        axis.barh(names, middle, color=['0.6', *['tab:blue'] * (len(names) - 1)])
        axis.bar_label(axis.containers[0], [f'{middle[0] / value:.2f} x' for value in middle])
        axis.set_title(result['case'], fontsize='medium')
        axis.invert_yaxis()
        axis.set_xlabel('ms')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    write_file(path, buffer.getvalue())
