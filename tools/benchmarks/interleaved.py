"""Variants of doing the same thing, timed in turns."""

import argparse
import io
import json
import platform
from collections.abc import Callable, Collection, Mapping
from statistics import median

import torch
from common.markdown_table import markdown_table

from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import Progress

from .memory import peak_extra_memory
from .timing import cpu_ms, spread

Variants = Mapping[str, Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser, rounds: int = 5) -> None:
    """Declare the options that all comparisons share."""
    parser.add_argument(
        '--rounds', type=int, default=rounds, help='each variant is timed once a round'
    )
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    parser.add_argument('--json', metavar='FILE', help='also write every time that was taken')
    parser.add_argument('--plot', metavar='FILE', help='also draw the table, as a PNG')


def compare(
    case: str, variants: Variants, rounds: int, memory: bool | Collection[str] = True
) -> dict:
    """Time every variant once a round, after one that does not count.

    Args:
        case: What is being done.
        variants: By name. The others are compared with the first.
        rounds: Number of rounds.
        memory: Whether to count memory too, which takes one more call of each; or of which
            variants: it is seen where PyTorch runs operation by operation.

    Returns:
        ``case``, and by variant ``ms`` (one time a round) and ``mib`` (the peak of all new
        tensors, None if not counted).
    """
    mib, times = {}, {name: [] for name in variants}
    if memory is True or memory is False:
        memory = variants.keys() if memory else ()
    with Progress(case, (rounds + 1) * len(variants)) as progress:
        for name, variant in variants.items():
            mib[name] = None
            if name in memory:
                mib[name] = _peak(variant) / 2**20
            else:
                variant()
            progress.advance()
        for _ in range(rounds):
            for name, variant in variants.items():
                times[name].append(elapsed_ms(variant))
                progress.advance()
    return dict(case=case, variants={n: dict(ms=times[n], mib=mib[n]) for n in variants})


def _peak(variant):
    if not torch.cuda.is_available():
        return peak_extra_memory(variant)
    variant()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    variant()
    return torch.cuda.max_memory_allocated() - before


def elapsed_ms(variant: Callable[[], object]) -> float:
    """Milliseconds of one call: by device events on a GPU, else CPU time of this process."""
    if torch.cuda.is_available():
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        variant()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    return cpu_ms(variant)


def report(results: list[dict], args: argparse.Namespace) -> str:
    """Write what the options ask for.

    Args:
        results: Of :func:`compare`. If one has ``images`` and, by variant, ``gflop`` of a
            call, and ``peak_gflops`` of the device, the table has the rates too, by the same time.
        args: With ``json`` and ``plot``.

    Returns:
        A Markdown table: 'median (least to most)' of the rounds; 'faster' is the first variant's
        time over this one's within a round.
    """
    if args.json:
        record = dict(device=device(), torch=torch.__version__, results=results)
        write_file(args.json, json.dumps(record, indent=1) + '\n')
    if args.plot:
        plot(results, args.plot)
    rated = any('gflop' in result for result in results)
    rows = []
    for result in results:
        first = next(iter(result['variants'].values()))
        for name, variant in result['variants'].items():
            ratios = [a / b for a, b in zip(first['ms'], variant['ms'])]
            cells = [
                result['case'],
                name,
                spread(variant['ms'], '.2f' if torch.cuda.is_available() else '.0f'),
                '1' if variant is first else spread(ratios, '.2f'),
                '-' if variant['mib'] is None else f'{variant["mib"]:.0f}',
            ]
            if rated:
                cells += _rates(result, name)
            rows.append(cells)
    titles = [
        'case',
        'variant',
        'ms',
        'faster',
        'MiB',
        *['img/s', 'GFLOP/s', 'of the peak'] * rated,
    ]
    return f'{device()}\n\n{markdown_table(titles, rows, texts=2)}'


def _rates(result, name):
    seconds = median(result['variants'][name]['ms']) / 1e3
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
        results: Each with a ``case``, and ``variants`` with the ``ms`` of their rounds.
        path: The PNG.
    """
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    bars = sum(len(result['variants']) + 1 for result in results)
    figure = Figure(figsize=(9, 1 + 0.3 * bars), layout='constrained')
    axes = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for axis, result in zip(axes, results):
        names = list(result['variants'])
        middle = [median(result['variants'][name]['ms']) for name in names]
        axis.barh(names, middle, color=['0.6', *['tab:blue'] * (len(names) - 1)])
        axis.bar_label(axis.containers[0], [f'{middle[0] / value:.2f} x' for value in middle])
        axis.set_title(result['case'], fontsize='medium')
        axis.invert_yaxis()
        axis.set_xlabel('ms')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    write_file(path, buffer.getvalue())
