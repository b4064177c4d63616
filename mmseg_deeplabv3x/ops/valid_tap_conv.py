"""3x3 atrous convolution without the taps that fall on the zero padding."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..atrous import valid_tap_share
from .pointwise_conv import pointwise_conv2d

# A map in PyTorch's own layout is worth copying to channels_last once less than this share of the
# products is left (tools/benchmark.py taps).
WORTH_A_COPY = 0.75


def valid_tap_conv2d(x: Tensor, weight: Tensor, rate: int, bias: Tensor | None = None) -> Tensor:
    """Equal to ``conv2d(x, weight, bias, padding=rate, dilation=rate)`` up to rounding.

    At a large rate most taps of most positions fall on the padding (paper, section 3.3): of a
    33x33 map, a filter at rate 18 has 41 % of its taps on the map. On a CPU, given channels_last,
    oneDNN leaves the others out by itself, in forward and for the gradient of the map, but not for
    the gradient of the filters: this is computed here, one matrix product for each tap over the
    rectangle of positions for which it is valid. At a rate of the map's size or more, the centre
    tap is all that is left, a 1x1 convolution. Where there is nothing to gain (no such gradient, a
    GPU, half precision, rate 1, a map that would have to be copied to channels_last for a few
    taps), this is ``conv2d``.

    Args:
        x: (N, C, H, W); fastest in channels_last.
        weight: (O, C, 3, 3).
        rate: Atrous rate, also the padding.
        bias: (O,).

    Returns:
        (N, O, H, W).

    Raises:
        RuntimeError: In a backward pass that asks for a second derivative.
    """
    height, width = x.shape[2:]
    if x.device.type == 'cpu' and rate >= max(height, width):
        return pointwise_conv2d(x, weight[:, :, 1:2, 1:2], bias)
    if _serves(x, weight, rate):
        y = conv2d_by_taps(x, weight, rate)
        return y if bias is None else y + bias[:, None, None]
    return F.conv2d(x, weight, bias, padding=rate, dilation=rate)


def conv2d_by_taps(x: Tensor, weight: Tensor, rate: int) -> Tensor:
    """:func:`valid_tap_conv2d` in channels_last without a bias, at any rate."""
    return _ValidTapConv.apply(x.contiguous(memory_format=torch.channels_last), weight, rate)


def _serves(x, weight, rate):
    # half precision would be rounded once an image
    half = x.dtype.itemsize < 4 or torch.is_autocast_enabled('cpu')
    needs_grad = torch.is_grad_enabled() and weight.requires_grad
    if x.device.type != 'cpu' or rate == 1 or half or not needs_grad:
        return False
    return x.stride(1) == 1 or valid_tap_share(*x.shape[2:], rate) < WORTH_A_COPY


class _ValidTapConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, rate):
        ctx.save_for_backward(x, weight)
        ctx.rate = rate
        return F.conv2d(x, weight, padding=rate, dilation=rate)

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise RuntimeError(
                'valid_tap_conv2d is differentiable once, but got create_graph=True; use conv2d '
                'for second derivatives.'
            )
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        rates = [ctx.rate] * 2
        grad_x, *_ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, [1, 1], rates, rates, False, [0, 0], 1, [needs_x, False, False]
        )
        return grad_x, _filter_gradient(x, grad, ctx.rate) if needs_weight else None, None


def _filter_gradient(x, grad, rate):
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    rows, columns = (_spans(size, rate) for size in x.shape[1:3])
    filters = x.new_zeros(grad.shape[3], 3, 3, x.shape[3])
    for image, image_grad in zip(x, grad):
        for column, (out_columns, in_columns) in enumerate(columns):
            # once copied, a part of the columns has its rows one after the other
            inputs = image[:, in_columns].contiguous()
            outputs = image_grad[:, out_columns].contiguous()
            for row, (out_rows, in_rows) in enumerate(rows):
                own = filters[:, row, column]
                valid = outputs[out_rows].flatten(0, 1), inputs[in_rows].flatten(0, 1)
                torch.addmm(own, valid[0].t(), valid[1], out=own)
    return filters.permute(0, 3, 1, 2)


def _spans(size, rate):
    """Of each of three taps along one side, the outputs and the inputs it connects."""
    spans = []
    for shift in (-rate, 0, rate):
        start, stop = max(0, -shift), max(min(size, size - shift), max(0, -shift))
        spans.append((slice(start, stop), slice(start + shift, stop + shift)))
    return spans
