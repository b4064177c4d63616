"""Convolution by oneDNN, which PyTorch does not always choose."""

from __future__ import annotations

import torch
from torch import Tensor


def _serves(x: Tensor) -> bool:
    """Whether oneDNN is there and convolves maps like this one: float32, on a CPU."""
    return (
        x.device.type == 'cpu' and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    )


def onednn_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Equal to ``conv2d`` up to rounding, by oneDNN wherever it serves.

    For a batch below 16 on one thread, PyTorch multiplies matrices itself (``use_mkldnn`` in
    ``aten/src/ATen/native/Convolution.cpp``), which took 1.3 to 1.7 times as long for ResNet-50's
    1x1 convolutions at 65x65 on the CPU that was measured.

    Args:
        x (Tensor): (N, C, H, W).
        weight (Tensor): (O, C / groups, kh, kw).
        bias (Tensor, optional): (O,).
        stride (int | tuple): As of ``conv2d``, like the others.
        padding (int | tuple): Not a string.
        dilation (int | tuple): The atrous rate.
        groups (int): Number of groups.

    Returns:
        Tensor: (N, O, H', W').
    """
    if not _serves(x):
        return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    pairs = [
        [side] * 2 if isinstance(side, int) else list(side) for side in (padding, stride, dilation)
    ]
    return torch.mkldnn_convolution(x, weight, bias, *pairs, groups)
