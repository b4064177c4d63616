"""How much work a call is, and how fast the device could do it."""

from __future__ import annotations

from typing import Callable

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from .rounds import elapsed_ms


def flop(call: Callable[[], object]) -> int:
    """Count the operations of the convolutions and matrix products in a call, forward and backward.

    Products with zero padding count too, unless they are left out by smaller products.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def peak_gflops(dtype: torch.dtype = torch.float32, size: int | None = None) -> float:
    """Measure what a product of two large square matrices reaches at best.

    It is computed as such and as a 1x1 convolution, which on a CPU another library may do faster.

    Args:
        dtype (torch.dtype): Of the matrices. Default: float32, on a GPU as exact as TF32 where the
            user allows that.
        size (int, optional): Their side, a multiple of 16. Default: 2048 on a CPU, 8192 on a GPU,
            large enough to keep it busy.

    Returns:
        float: In 1e9 operations a second.
    """
    cuda = torch.cuda.is_available()
    size = size or (8192 if cuda else 2048)
    one, other = torch.randn(2, size, size, dtype=dtype, device='cuda' if cuda else 'cpu')
    images = one.view(16, size // 16, 1, size).permute(0, 3, 1, 2)
    filters = other[:, :, None, None]
    ways = (lambda: one @ other, lambda: F.conv2d(images, filters))
    with torch.inference_mode():
        best = min(elapsed_ms(way) for _ in range(6) for way in ways)  # the first is slower
    return 2 * size**3 / (best * 1e6)
