"""Forward and backward of the ASPP head: mmseg's code and ours, the same layers."""

import argparse
import copy

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_deeplabv3x.atrous import aspp_rates

from .baselines import PaperSizedASPPHead
from .interleaved import add_arguments as add_common
from .interleaved import compare, report

SHAPES = {
    "the paper's layers (256 channels, projection 1x1)": (PaperSizedASPPHead, 256, 1),
    "mmseg's layers (512 channels, projection 3x3)": ('ASPPHead', 512, 3),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--in-channels', type=int, default=2048)
    parser.add_argument('--sizes', type=int, nargs='+', default=[33, 65], help='sides of the map')
    add_common(parser)


def run(args: argparse.Namespace) -> str:
    """Time forward and backward of both heads in turns.

    A map of 33 is a crop of 513 at output_stride 16, one of 65 at 8; rates follow. 'channels_last'
    is the layout in which a network with ``channels_last=True`` has its maps and filters.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table, of :func:`report`.
    """
    torch.set_num_threads(args.threads)
    init_default_scope('mmseg')
    results = []
    for size in args.sizes:
        output_stride = 8 if size > 33 else 16
        rates = aspp_rates((6, 12, 18), output_stride)
        for name, shape in SHAPES.items():
            heads = _heads(args.in_channels, rates, output_stride, *shape)
            x = torch.randn(args.batch_size, args.in_channels, size, size)
            if torch.cuda.is_available():
                x = x.cuda()
            variants = {variant: _step(head, x) for variant, head in heads.items()}
            variants['ours, channels_last'] = _step(
                copy.deepcopy(heads['ours']).to(memory_format=torch.channels_last),
                x.to(memory_format=torch.channels_last),
            )
            results.append(compare(f'{size}x{size}, rates {rates}, {name}', variants, args.rounds))
    return report(results, args)


def _heads(in_channels, rates, output_stride, kind, channels, kernel):
    shape = dict(in_channels=in_channels, channels=channels, num_classes=21)
    norm = dict(norm_cfg=dict(type='BN'))
    ours = dict(
        type='ImagePoolASPPHead', projection_kernel=kernel, output_stride=output_stride, **shape
    )
    heads = {
        'mmseg': MODELS.build(dict(type=kind, dilations=(1, *rates), **shape, **norm)),
        'ours, fast=False': MODELS.build(dict(ours, fast=False)),
        'ours': MODELS.build(ours),
    }
    for head in heads.values():
        head.load_state_dict(heads['mmseg'].state_dict())
        head.dropout = None
        if torch.cuda.is_available():
            head.cuda()
    return heads


def _step(head, x):
    x = x.clone().requires_grad_()
    weights = [x, *(p for p in head.parameters())]

    def step():
        logits = head([x])
        return torch.autograd.grad(logits, weights, torch.ones_like(logits))

    return step
