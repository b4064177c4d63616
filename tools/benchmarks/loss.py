"""Cross-entropy of upsampled logits: the whole map at once, as mmseg does, against tiles."""

import argparse
import itertools
from functools import partial

import torch
from mmseg.models.losses import accuracy as mmseg_accuracy
from torch.nn import functional as F

from mmseg_deeplabv3x.ops import upsampled_cross_entropy

from .interleaved import add_arguments as add_common
from .interleaved import compare, report

# (images, classes, side of the logits, side of the labels): VOC at output_stride 8, ADE20K
SIZES = [(4, 21, 65, 513), (2, 150, 64, 512)]
IGNORED = 255
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    add_common(parser, rounds=9)


def run(args: argparse.Namespace) -> str:
    """Time forward and backward of the variants in turns, and count their memory.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`.
    """
    torch.set_num_threads(args.threads)
    results = []
    for (n, classes, small, large), with_accuracy in itertools.product(SIZES, (False, True)):
        torch.manual_seed(0)
        logits = (3 * torch.randn(n, classes, small, small)).to(DEVICE).requires_grad_()
        labels = torch.randint(classes, (n, large, large))
        labels[torch.rand(labels.shape) < 0.05] = IGNORED
        inputs = logits, labels.to(DEVICE), with_accuracy
        variants = {name: partial(_step, variant, *inputs) for name, variant in VARIANTS.items()}
        case = f'{n}x{classes}x{small}² -> {large}²' + ', with acc_seg' * with_accuracy
        results.append(compare(case, variants, args.rounds))
    return report(results, args)


def _step(variant, logits, labels, with_accuracy):
    return torch.autograd.grad(variant(logits, labels, with_accuracy), logits)


def _whole(logits, labels, with_accuracy):
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=True)
    if with_accuracy:
        mmseg_accuracy(large, labels, ignore_index=IGNORED)
    return F.cross_entropy(large, labels, ignore_index=IGNORED)


def _tiles(logits, labels, with_accuracy):
    result = upsampled_cross_entropy(logits, labels, True, return_accuracy=with_accuracy)
    return result[0] if with_accuracy else result


VARIANTS = {'whole map': _whole, 'tiles': _tiles}
