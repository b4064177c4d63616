"""A network in words and numbers: stride and rate of every unit, its size and its cost."""

import copy
from collections.abc import Callable
from itertools import groupby

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.utils import ResLayer
from mmseg.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def describe_units(network: nn.Module) -> list[str]:
    """Stride and rate of every unit of a ResNet and its cascade, and the rates of ASPP: lines."""
    parts = [*network.backbone.children(), *(network.neck.children() if network.with_neck else ())]
    lines = []
    for block, units in enumerate((part for part in parts if isinstance(part, ResLayer)), start=1):
        first = 1
        for (stride, *rates), same in groupby(map(_stride_and_rates, units)):
            last = first + len(list(same)) - 1
            which = f'unit {first}' if first == last else f'units {first}-{last}'
            rates = f'rate{"s" * (len(rates) > 1)} {", ".join(map(str, rates))}'
            lines.append(f'  block{block} {which}: stride {stride}, {rates}')
            first = last + 1
    head = network.decode_head
    if hasattr(head, 'aspp_modules'):
        rates = ', '.join(
            str(max(conv.dilation[0] for conv in branch.modules() if isinstance(conv, nn.Conv2d)))
            for branch in list(head.aspp_modules)[1:]
        )
        pool = ', image pooling' * (head.image_pool is not None)
        lines.append(f'  ASPP: 1x1, rates {rates}{pool}')
    return lines


def _stride_and_rates(unit: nn.Module) -> tuple[int, ...]:
    convs = [m for m in unit.children() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    return max(c.stride[0] for c in convs), *(c.dilation[0] for c in convs)


def multiply_adds(model: ConfigDict, output_stride: int | None, size: tuple[int, int]) -> int:
    """Multiply-adds of all convolutions of a model's config on one image of ``size``, (H, W).

    Padding counts as image. Nothing is computed for it.
    """
    network = build(model, output_stride).to('meta').eval()
    image = torch.empty(1, 3, *size, device='meta')
    with torch.no_grad():
        return count_flops(lambda: network(image)) // 2


def count_flops(call: Callable[[], object]) -> int:
    """Count the operations of the convolutions and matrix products in a call, forward and backward.

    Products with zero padding count too, unless they are left out by smaller products.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def build(model: ConfigDict, output_stride: int | None) -> nn.Module:
    """The network without weights; without storage where its parts can be built so."""
    init_default_scope('mmseg')
    model = copy.deepcopy(model)
    model.data_preprocessor = None
    if output_stride:
        model.output_stride = output_stride
    _forget_weights(model)
    # AtrousBackbone proves on an image that it is exact, which needs numbers
    with torch.device('cpu' if model.backbone.type == 'AtrousBackbone' else 'meta'):
        return MODELS.build(model)


def _forget_weights(cfg) -> None:
    """Leave out weights that timm would download."""
    if isinstance(cfg, dict):
        if cfg.get('pretrained'):
            cfg['pretrained'] = None if isinstance(cfg['pretrained'], str) else False
        cfg = list(cfg.values())
    for value in cfg if isinstance(cfg, (list, tuple)) else ():
        _forget_weights(value)
