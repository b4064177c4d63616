"""A convolution over concatenated maps, without concatenating them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .pointwise_conv import pointwise_conv2d


def conv_of_concat(maps: Sequence[Tensor], weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Equal to ``conv2d(cat(maps, dim=1), weight, bias, padding='same')`` up to rounding.

    Each map is convolved with its own part of the filters and the results are added. A map of one
    position stands for one that has this value everywhere: it adds a bias for each image, which
    under a filter larger than 1x1 and its zero padding is another one at the borders.

    Args:
        maps: (N, C_i, H, W), at least one, or (N, C_i, 1, 1).
        weight: (O, sum of all C_i, k, k), k odd.
        bias: (O,).

    Returns:
        (N, O, H, W).
    """
    size = tuple(max(m.shape[side] for m in maps) for side in (2, 3))
    total = 0 if bias is None else bias[:, None, None]
    for part, own in zip(maps, weight.split([m.shape[1] for m in maps], dim=1)):
        more = _same_conv(part, own) if part.shape[2:] == size else _spread_conv(part, own, size)
        # into memory that is there already, unless a gradient is to follow
        in_place = more.shape[2:] == size and not torch.is_grad_enabled()
        total = more.add_(total) if in_place else total + more
    return total


def _same_conv(part, weight):
    if weight.shape[2] == 1:
        return pointwise_conv2d(part, weight)
    return F.conv2d(part, weight, padding=weight.shape[2] // 2)


def _spread_conv(value, weight, size):
    """Convolve a map that has the same value everywhere."""
    if weight.shape[2] == 1:
        return F.conv2d(value, weight)  # added by broadcasting
    # what each tap adds where it falls on the map: a map of ones, convolved for each image
    taps = torch.einsum('ncij,ockl->nokl', value, weight).flatten(0, 1)[:, None]
    spread = F.conv2d(value.new_ones(1, 1, *size), taps, padding=weight.shape[2] // 2)
    return spread.view(len(value), len(weight), *size)
