"""Classes of bilinearly upsampled logits that are never there as a whole."""

from __future__ import annotations

import torch
from torch import Tensor

from .linear_interpolation import interpolation_matrix, tiles_of

# Upsampled logits in one strip of rows: on a CPU 512 KiB, which stay in the cache of a core;
# elsewhere enough to fill the device.
CPU_STRIP, GPU_STRIP = 2**17, 2**25


def upsampled_argmax(
    logits: Tensor,
    size: tuple[int, int],
    align_corners: bool,
    keep: tuple[int, int] | None = None,
) -> Tensor:
    """Equal to ``interpolate(logits, size, mode='bilinear').argmax(1)``, strip by strip of rows.

    The classes lie side by side in memory, which is what makes the argmax fast. The upsampling is a
    matrix product, so where two classes are equal up to rounding the other one may be taken; on a
    GPU it is as exact as TF32 where the user allows that for products.

    Args:
        logits (Tensor): (N, C, h, w); fastest in channels_last.
        size (tuple[int, int]): Height and width to upsample to.
        align_corners (bool): As of :func:`torch.nn.functional.interpolate`.
        keep (tuple[int, int], optional): Rows and columns of the result that are wanted, from the
            upper left. Default: all of ``size``.

    Returns:
        Tensor: (N, H, W), int64.
    """
    n, classes, h, w = logits.shape
    height, width = keep or size
    dtype = torch.promote_types(logits.dtype, torch.float32)
    small = logits.permute(0, 2, 3, 1).to(dtype)
    to_rows = interpolation_matrix(h, size[0], align_corners, small)
    to_columns = interpolation_matrix(w, size[1], align_corners, small)[:width]
    strip = CPU_STRIP if logits.device.type == 'cpu' else GPU_STRIP
    rows_of_strip = max(strip // (classes * width), 1)
    result = torch.empty(n, height, width, dtype=torch.long, device=logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        for image, found in zip(small, result):
            wide = torch.matmul(to_columns, image).flatten(1)
            for in_rows, rows in tiles_of(rows_of_strip, h, size[0], align_corners):
                # of what is not kept, `found` has no rows
                part = to_rows[rows][: max(height - rows.start, 0), in_rows] @ wide[in_rows]
                torch.argmax(part.view(-1, width, classes), dim=-1, out=found[rows])
    return result
