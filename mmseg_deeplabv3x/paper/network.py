"""A network in words and numbers: stride and rate of every unit, its size and its cost."""

from collections.abc import Callable
from itertools import groupby

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .. import atrous


def describe_units(model: ConfigDict, output_stride: int) -> list[str]:
    """Stride and rate of every unit, and the rates of ASPP.

    Args:
        model: Config of a ``DeepLabV3`` with an ``AtrousResNet``.
        output_stride: Its output_stride.

    Returns:
        Lines, each for units that are alike.
    """
    _, units = ResNet.arch_settings[model.backbone.depth]
    multi_grids = {4: model.backbone.multi_grid}
    neck = model.get('neck')
    if neck:
        units = (*units, *(units[-1:] * neck.num_blocks))
        multi_grids.update(dict.fromkeys(range(5, 5 + neck.num_blocks), neck.multi_grid))
    lines = []
    for block, plans in enumerate(atrous.plan_network(output_stride, units, multi_grids), start=1):
        first = 1
        for plan, same in groupby(plans):
            last = first + len(list(same)) - 1
            which = f'unit {first}' if first == last else f'units {first}-{last}'
            rates = f'rate {plan.entry_rate}'
            if model.backbone.depth < 50:
                rates = f'rates {plan.entry_rate}, {plan.rate}'
            lines.append(f'  block{block} {which}: stride {plan.stride}, {rates}')
            first = last + 1
    head = model.decode_head
    if 'rates' in head:
        rates = ', '.join(map(str, atrous.aspp_rates(head.rates, output_stride)))
        lines.append(f'  ASPP: 1x1, rates {rates}' + ', image pooling' * head.image_pool)
    return lines


def parameters(model: ConfigDict) -> int:
    """Number of trainable and frozen parameters of a model's config."""
    return sum(p.numel() for p in _build(model, model.output_stride).parameters())


def multiply_adds(model: ConfigDict, output_stride: int, crop: int) -> int:
    """Multiply-adds of all convolutions of a model's config on one image of ``crop`` pixels a side.

    Padding counts as image. Nothing is computed for it.
    """
    network = _build(model, output_stride).eval()
    image = torch.empty(1, 3, crop, crop, device='meta')
    with torch.no_grad():
        return count_flops(lambda: network(image)) // 2


def count_flops(call: Callable[[], object]) -> int:
    """Count the operations of the convolutions and matrix products in a call, forward and backward.

    Products with zero padding count too, unless they are left out by smaller products.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _build(model: ConfigDict, output_stride: int) -> nn.Module:
    """The network without storage: shapes only."""
    init_default_scope('mmseg')
    model = ConfigDict(model, data_preprocessor=None, output_stride=output_stride)
    with torch.device('meta'):
        return MODELS.build(model)
