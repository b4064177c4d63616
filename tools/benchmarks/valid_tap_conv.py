"""A 3x3 atrous convolution: PyTorch's against ours, by rate and memory layout."""

import argparse
import itertools

import torch
from torch.nn import functional as F

from mmseg_deeplabv3x.atrous import valid_tap_share
from mmseg_deeplabv3x.ops.valid_tap_conv import conv2d_by_taps

from .interleaved import add_arguments as add_common
from .interleaved import compare, report

LAYOUTS = {'channels_last': torch.channels_last, 'NCHW': torch.contiguous_format}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--channels', type=int, nargs=2, default=[2048, 256], help='in and out')
    parser.add_argument('--size', type=int, default=33, help='side of the map')
    parser.add_argument('--rates', type=int, nargs='+', default=[2, 3, 4, 6, 12, 18])
    add_common(parser, rounds=3)


def run(args: argparse.Namespace) -> str:
    """Time forward and backward in turns.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`.
    """
    torch.set_num_threads(args.threads)
    shape = args.batch_size, args.channels[0], args.size, args.size
    weight = torch.randn(args.channels[1], args.channels[0], 3, 3, requires_grad=True)
    results = []
    for rate, layout in itertools.product(args.rates, LAYOUTS):
        x = torch.randn(shape).to(memory_format=LAYOUTS[layout]).requires_grad_()
        variants = {
            'conv2d': _step(F.conv2d, x, weight, padding=rate, dilation=rate),
            'by taps': _step(conv2d_by_taps, x, weight, rate=rate),
        }
        share = valid_tap_share(args.size, args.size, rate)
        case = f'{args.size}x{args.size}, {layout}, rate {rate}, {share:.0%} of the taps on the map'
        results.append(compare(case, variants, args.rounds))
    return report(results, args)


def _step(convolve, x, weight, **options):
    def step():
        y = convolve(x, weight, **options)
        return torch.autograd.grad(y, (x, weight), torch.ones_like(y))

    return step
