"""1x1 convolution by oneDNN, which PyTorch does not always choose."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pointwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Equal to ``conv2d`` with 1x1 filters up to rounding, forward and backward by oneDNN.

    For a batch below 16 on one thread, PyTorch computes 1x1 convolutions and their gradients by
    plain matrix products (``use_mkldnn`` in ``aten/src/ATen/native/Convolution.cpp``), in 1.3 to
    1.7 times the time of oneDNN on the CPU that was measured (``docs/benchmarks.md``). But every
    row of a map may as well be an image of a larger batch: in channels_last that is a view. Where
    PyTorch takes oneDNN by itself, or has none, this is ``conv2d``.

    Args:
        x: (N, C, H, W), faster only with the channels innermost in memory.
        weight: (O, C, 1, 1).
        bias: (O,).

    Returns:
        (N, O, H, W).
    """
    n, channels, height, width = x.shape
    if not (
        x.device.type == 'cpu'
        and x.dtype == torch.float32
        and x.stride(1) == 1
        and n < 16
        and torch.get_num_threads() == 1
        and torch.backends.mkldnn.is_available()
    ):
        return F.conv2d(x, weight, bias)
    rows = x.permute(0, 2, 3, 1).reshape(n * height, width, 1, channels).permute(0, 3, 1, 2)
    y = F.conv2d(rows, weight, bias)
    return y.permute(0, 2, 3, 1).reshape(n, height, width, len(weight)).permute(0, 3, 1, 2)


def is_recorded() -> bool:
    """Whether operations are traced, compiled or exported: they must be right for any size."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()
