"""Cross-entropy of upsampled logits: the whole map at once, as mmseg does, against tiles."""

from __future__ import annotations

import argparse

import torch
from mmseg.models.losses import accuracy as mmseg_accuracy
from torch.nn import functional as F

from ..ops import upsampled_cross_entropy
from .memory import peak_extra_memory
from .timing import cpu_ms, spread

# (images, classes, side of the logits, side of the labels): VOC at output_stride 8, ADE20K
SIZES = [(4, 21, 65, 513), (2, 150, 64, 512)]
IGNORED = 255
HEADER = (
    '| logits -> labels | with acc_seg | whole map, ms | tiles, ms | faster | whole map, MiB '
    '| tiles, MiB | less |\n|---|---|---|---|---|---|---|---|'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--rounds', type=int, default=9, help='each way is timed once a round')


def run(args: argparse.Namespace) -> str:
    """Time forward and backward of both ways in turns, and count their memory.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table. Times are CPU times of one thread, 'median (least to most)' of the rounds;
        'faster' is the same of the ratio within a round. Memory is the peak beside logits and
        labels.
    """
    torch.set_num_threads(1)
    rows = [_row(size, acc, args.rounds) for size in SIZES for acc in (False, True)]
    return '\n'.join([HEADER, *rows])


def _row(size, with_accuracy, rounds):
    n, classes, small, large = size
    torch.manual_seed(0)
    logits = (3 * torch.randn(n, classes, small, small)).requires_grad_()
    labels = torch.randint(classes, (n, large, large))
    labels[torch.rand(labels.shape) < 0.05] = IGNORED

    def ways():
        for way in (_whole, _tiles):
            yield lambda way=way: torch.autograd.grad(way(logits, labels, with_accuracy), logits)

    memory = [peak_extra_memory(way) for way in ways()]  # and a warm-up
    times = [[cpu_ms(way) for way in ways()] for _ in range(rounds)]
    whole, tiles = zip(*times)
    cells = [
        f'{n}x{classes}x{small}² -> {large}²',
        'yes' if with_accuracy else 'no',
        spread(whole, '.0f'),
        spread(tiles, '.0f'),
        spread([a / b for a, b in times], '.1f') + ' x',
        *(f'{size / 2**20:.0f}' for size in memory),
        f'{memory[0] / memory[1]:.0f} x',
    ]
    return f'| {" | ".join(cells)} |'


def _whole(logits, labels, with_accuracy):
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=True)
    if with_accuracy:
        mmseg_accuracy(large, labels, ignore_index=IGNORED)
    return F.cross_entropy(large, labels, ignore_index=IGNORED)


def _tiles(logits, labels, with_accuracy):
    result = upsampled_cross_entropy(logits, labels, True, return_accuracy=with_accuracy)
    return result[0] if with_accuracy else result
