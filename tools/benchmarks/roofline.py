"""How fast the device could be."""

import torch
from torch.nn import functional as F

from .interleaved import elapsed_ms


def peak_gflops(dtype: torch.dtype = torch.float32, size: int | None = None) -> float:
    """Measure what a product of two large square matrices reaches at best.

    It is computed as such and as a 1x1 convolution, which on a CPU another library may do faster.

    Args:
        dtype: Of the matrices. Default: float32, on a GPU as exact as TF32 where the
            user allows that.
        size: Their side, a multiple of 16. Default: 2048 on a CPU, 8192 on a GPU,
            large enough to keep it busy.

    Returns:
        In 1e9 operations a second.
    """
    cuda = torch.cuda.is_available()
    size = size or (8192 if cuda else 2048)
    one, other = torch.randn(2, size, size, dtype=dtype, device='cuda' if cuda else 'cpu')
    images = one.view(16, size // 16, 1, size).permute(0, 3, 1, 2)
    filters = other[:, :, None, None]
    variants = (lambda: one @ other, lambda: F.conv2d(images, filters))
    with torch.inference_mode():
        best = min(
            elapsed_ms(variant) for _ in range(6) for variant in variants
        )  # the first is slower
    return 2 * size**3 / (best * 1e6)
