"""3x3 atrous convolution that skips the taps which fall on the zero padding."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from .pointwise_conv import pointwise_conv2d

# On a CPU, one product a tap beats the convolution once less of the products than this are left,
# the more the larger the map and the fewer the filters (tools/benchmark.py taps).
CPU_SHARE = 0.9


def valid_tap_conv2d(x: Tensor, weight: Tensor, rate: int, bias: Tensor | None = None) -> Tensor:
    """Equal to ``conv2d(x, weight, bias, padding=rate, dilation=rate)`` up to rounding.

    At a large rate most taps of most positions fall on the padding (paper, section 3.3): of a
    33x33 map, a filter at rate 18 has 41 % of its taps on the map. Only those are multiplied: each
    tap is one matrix product over the rectangle of positions for which it is valid, in forward and
    for the gradient of the filters. At a rate of the map's size or more, the centre tap is all that
    is left, a 1x1 convolution. Where the convolution itself is faster (on a GPU, under autocast, at
    rate 1, while nearly all taps are valid), it is taken.

    Args:
        x (Tensor): (N, C, H, W); fastest in channels_last.
        weight (Tensor): (O, C, 3, 3).
        rate (int): Atrous rate, also the padding.
        bias (Tensor, optional): (O,).

    Returns:
        Tensor: (N, O, H, W).

    Raises:
        RuntimeError: In a backward pass that asks for a second derivative.
    """
    height, width = x.shape[2:]
    if rate >= max(height, width):
        return pointwise_conv2d(x, weight[:, :, 1:2, 1:2], bias)
    on_cpu = x.device.type == 'cpu' and not _cpu_autocast()
    if on_cpu and rate > 1 and valid_share(height, width, rate) < CPU_SHARE:
        y = conv2d_by_taps(x, weight, rate)
        return y if bias is None else y + bias[:, None, None]
    return F.conv2d(x, weight, bias, padding=rate, dilation=rate)


def conv2d_by_taps(x: Tensor, weight: Tensor, rate: int) -> Tensor:
    """:func:`valid_tap_conv2d` without a bias, whatever the share of valid taps."""
    return _ValidTapConv.apply(x, weight, rate)


def valid_share(height: int, width: int, rate: int) -> float:
    """Share of the products of a 3x3 filter at a rate that are not with the zero padding."""
    rows, columns = (size + 2 * max(size - rate, 0) for size in (height, width))
    return rows * columns / (9 * height * width)


def _cpu_autocast():
    try:
        return torch.is_autocast_enabled('cpu')
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()


class _ValidTapConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, rate):
        ctx.save_for_backward(x, weight)
        ctx.rate = rate
        x = x.permute(0, 2, 3, 1)
        y = x.new_zeros(*x.shape[:3], len(weight))
        for tap, outputs, inputs in _taps(x, weight, rate):
            if y[outputs].numel():
                y[outputs] += _product(x[inputs], tap)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise RuntimeError(
                'valid_tap_conv2d is differentiable once, but got create_graph=True; use conv2d '
                'for second derivatives.'
            )
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        return (
            _input_gradient(x, weight, grad, ctx.rate) if needs_x else None,
            _filter_gradient(x, weight, grad, ctx.rate) if needs_weight else None,
            None,
        )


def _input_gradient(x, weight, grad, rate):
    # that of the convolution: it sums over the few channels of the output, and is as fast
    one, rates = [1, 1], [rate, rate]
    needed = [True, False, False]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, one, rates, rates, False, [0, 0], 1, needed
    )[0]


def _filter_gradient(x, weight, grad, rate):
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    taps = weight.new_zeros(3, 3, *weight.shape[1::-1])
    for number, (_, outputs, inputs) in enumerate(_taps(x, weight, rate)):
        part = grad[outputs]
        if part.numel():
            torch.mm(x[inputs].flatten(0, 2).t(), part.flatten(0, 2), out=taps[divmod(number, 3)])
    return taps.permute(3, 2, 0, 1)


def _product(positions, matrix):
    """Multiply (N, h, w, C) by (O, C): (N, h, w, O)."""
    result = pointwise_conv2d(positions.permute(0, 3, 1, 2), matrix[:, :, None, None])
    return result.permute(0, 2, 3, 1)


def _taps(x, weight, rate):
    """Of each tap its weight, (O, C), and the outputs and inputs, of (N, H, W), it connects."""
    taps = weight.permute(2, 3, 0, 1)
    if not weight.is_contiguous(memory_format=torch.channels_last):
        taps = taps.contiguous()
    rows, columns = (_spans(size, rate) for size in x.shape[1:3])
    for row, column in itertools.product(range(3), range(3)):
        (out_rows, in_rows), (out_columns, in_columns) = rows[row], columns[column]
        yield (
            taps[row, column],
            (slice(None), out_rows, out_columns),
            (slice(None), in_rows, in_columns),
        )


def _spans(size, rate):
    """Of each of three taps along one side, the outputs and the inputs it connects."""
    spans = []
    for shift in (-rate, 0, rate):
        start, stop = max(0, -shift), max(min(size, size - shift), max(0, -shift))
        spans.append((slice(start, stop), slice(start + shift, stop + shift)))
    return spans
