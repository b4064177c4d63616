"""Cross-entropy of upsampled logits: the whole map at once, as mmseg does, against tiles."""

from __future__ import annotations

import argparse
from functools import partial
from importlib.util import find_spec

import torch
from mmseg.models.losses import accuracy as mmseg_accuracy
from torch.nn import functional as F

from ..ops import upsampled_cross_entropy
from .memory import peak_extra_memory
from .rounds import elapsed_ms
from .timing import spread

# (images, classes, side of the logits, side of the labels): VOC at output_stride 8, ADE20K
SIZES = [(4, 21, 65, 513), (2, 150, 64, 512)]
IGNORED = 255
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--rounds', type=int, default=9, help='each way is timed once a round')


def run(args: argparse.Namespace) -> str:
    """Time forward and backward of the ways in turns, and count their memory.

    On a GPU the Triton kernel is a third one, if Triton is installed.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table. Times are CPU times of one thread, or those of a GPU, 'median (least to
        most)' of the rounds; 'faster' is the first way's time over this one's within a round, and
        'less' the same of memory, which is the peak beside logits and labels.
    """
    torch.set_num_threads(1)
    ways = _ways()
    whole, *others = ways
    header = ['logits -> labels', 'with acc_seg', f'{whole}, ms']
    header += [cell for way in others for cell in (f'{way}, ms', 'faster')]
    header += [f'{whole}, MiB', *(cell for way in others for cell in (f'{way}, MiB', 'less'))]
    rows = [_row(size, acc, ways.values(), args.rounds) for size in SIZES for acc in (False, True)]
    return '\n'.join(f'| {" | ".join(row)} |' for row in [header, ['---'] * len(header), *rows])


def _ways():
    ways = {'whole map': _whole, 'tiles': _tiles}
    if DEVICE == 'cuda' and find_spec('triton'):
        ways['Triton'] = partial(_tiles, triton=True)
    return ways


def _row(size, with_accuracy, ways, rounds):
    n, classes, small, large = size
    torch.manual_seed(0)
    logits = (3 * torch.randn(n, classes, small, small)).to(DEVICE).requires_grad_()
    labels = torch.randint(classes, (n, large, large))
    labels[torch.rand(labels.shape) < 0.05] = IGNORED
    labels = labels.to(DEVICE)

    def step(way):
        return torch.autograd.grad(way(logits, labels, with_accuracy), logits)

    steps = [partial(step, way) for way in ways]
    whole_memory, *memory = [peak_extra_memory(step) for step in steps]  # and a warm-up
    times = [[elapsed_ms(step) for step in steps] for _ in range(rounds)]
    whole, *others = zip(*times)
    cells = [f'{n}x{classes}x{small}² -> {large}²', 'yes' if with_accuracy else 'no', _ms(whole)]
    for other in others:
        cells += [_ms(other), spread([a / b for a, b in zip(whole, other)], '.1f') + ' x']
    cells.append(f'{whole_memory / 2**20:.0f}')
    for other in memory:
        cells += [f'{other / 2**20:.0f}', f'{whole_memory / other:.0f} x']
    return cells


def _ms(times):
    return spread(times, '.0f' if DEVICE == 'cpu' else '.2f')


def _whole(logits, labels, with_accuracy):
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=True)
    if with_accuracy:
        mmseg_accuracy(large, labels, ignore_index=IGNORED)
    return F.cross_entropy(large, labels, ignore_index=IGNORED)


def _tiles(logits, labels, with_accuracy, triton=False):
    result = upsampled_cross_entropy(
        logits, labels, True, return_accuracy=with_accuracy, triton=triton
    )
    return result[0] if with_accuracy else result
