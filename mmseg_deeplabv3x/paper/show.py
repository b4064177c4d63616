"""What a row's network looks like: plan of every unit, size, cost, and what makes it this row."""

from __future__ import annotations

from itertools import groupby

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import nn

from .. import atrous
from .config import base_config, differences
from .rows import ROWS, Row


def describe(row: Row, cfg: Config) -> str:
    """A page on a row.

    Args:
        row (Row): The row.
        cfg (Config): Its config, see :func:`mmseg_deeplabv3x.paper.config.row_config`.

    Returns:
        str: Several lines.
    """
    crop = cfg.model.data_preprocessor.size[0]
    lines = [f'{row.id}: {row.change}', f'  published mIoU: {row.miou:.2f}']
    if row.shares:
        lines.append(f'  evaluates the training of {row.shares}: {ROWS[row.shares].change}')
    if row.note:
        lines.append(f'  note: {row.note}')
    views = f'scales {", ".join(map(str, row.scales))}' + ', each also mirrored' * row.flip
    lines.append(f'  evaluated at output_stride {row.eval_stride}, {views}')

    modes = {row.train_stride: 'training', row.eval_stride: 'evaluation'}
    if len(modes) == 1:
        modes = {row.train_stride: 'training and evaluation'}
    for output_stride, mode in modes.items():
        macs = multiply_adds(cfg.model, output_stride, crop)
        lines += ['', f'output_stride {output_stride}, {mode}:', *_plan(cfg.model, output_stride)]
        lines.append(f'  {macs / 1e9:.2f} G multiply-adds of convolutions at {crop}x{crop}')
    lines += ['', f'{parameters(cfg.model) / 1e6:.2f} M parameters']

    lines += ['', f'differs from configs/{row.base} in:']
    changed = differences(cfg, base_config(row))
    lines += [f'  {key} = {ours!r} (there: {theirs!r})' for key, (ours, theirs) in changed.items()]
    return '\n'.join(lines if changed else [*lines, '  nothing'])


def _plan(model: ConfigDict, output_stride: int) -> list[str]:
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


def _build(model: ConfigDict, output_stride: int = 16) -> nn.Module:
    """The network without storage: shapes only."""
    init_default_scope('mmseg')
    model = ConfigDict(model, data_preprocessor=None, output_stride=output_stride)
    with torch.device('meta'):
        return MODELS.build(model)


def parameters(model: ConfigDict) -> int:
    """Number of trainable and frozen parameters of a model's config."""
    return sum(p.numel() for p in _build(model, model.output_stride).parameters())


def multiply_adds(model: ConfigDict, output_stride: int, crop: int) -> int:
    """Multiply-adds of all convolutions of a model on one image; padding counts as image.

    mmengine's ``FlopAnalyzer`` gives the same number, but computes the network to get it, which
    takes long at the paper's size.

    Args:
        model (ConfigDict): The model's config.
        output_stride (int): Its output_stride.
        crop (int): Side of the image in pixels.

    Returns:
        int: The number.
    """
    network = _build(model, output_stride).eval()
    network.decode_head.fast = False  # the projection too is a call of its module
    total = 0

    def count(conv: nn.Conv2d, _, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * conv.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.empty(1, 3, crop, crop, device='meta'))
    return total
