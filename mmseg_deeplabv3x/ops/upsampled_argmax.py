"""Classes of bilinearly upsampled logits that are never there as a whole."""

import torch
from torch import Tensor

from .linear_interpolation import interpolation_matrix, tiles_of

# Upsampled logits in one strip of rows: on a CPU 512 KiB, which stay in the cache of a core;
# elsewhere enough to fill the device.
CPU_STRIP, GPU_STRIP = 2**17, 2**25


@torch.no_grad()
def upsampled_argmax(
    logits: Tensor,
    size: tuple[int, int],
    align_corners: bool,
    keep: tuple[int, int] | None = None,
) -> Tensor:
    """Equal to ``interpolate(logits, size, mode='bilinear').argmax(1)``, strip by strip of rows.

    The upsampling is a matrix product, so where two classes are equal up to rounding the other one
    may be taken; on a GPU it is as exact as TF32 where the user allows that for products.

    Args:
        logits: (N, C, h, w). As in ``argmax``, NaN is the largest of all.
        size: Height and width to upsample to.
        align_corners: As of :func:`torch.nn.functional.interpolate`.
        keep: Rows and columns of the result that are wanted, from the upper left. Default: all.

    Returns:
        (N, H, W), int64.
    """
    n, classes, h, w = logits.shape
    height, width = keep or size
    dtype = torch.promote_types(logits.dtype, torch.float32)
    # of a sum of products no NaN and no infinity may come, which no comparison would sort
    large = torch.finfo(dtype).max / 4
    small = logits.to(dtype).nan_to_num(large, large, -large).permute(0, 2, 1, 3)
    to_rows = interpolation_matrix(h, size[0], align_corners, small)
    to_columns = interpolation_matrix(w, size[1], align_corners, small)[:width].t()
    strip = CPU_STRIP if logits.device.type == 'cpu' else GPU_STRIP
    rows_of_strip = max(strip // (classes * width), 1)
    result = torch.empty(n, height, width, dtype=torch.long, device=logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        for image, found in zip(small, result):
            wide = (image.reshape(-1, w) @ to_columns).view(h, -1)
            for in_rows, rows in tiles_of(rows_of_strip, h, size[0], align_corners):
                # of what is not kept, `found` has no rows
                part = to_rows[rows][: max(height - rows.start, 0), in_rows] @ wide[in_rows]
                found[rows] = _argmax(part.view(-1, classes, width))
    return result


def _argmax(part: Tensor) -> Tensor:
    """``part.argmax(1)``; overwrites ``part``, (rows, C, W)."""
    if part.device.type != 'cpu':
        return part.argmax(1)
    # On a CPU argmax goes value by value, these go by vectors. 0 where a class is the largest and
    # -1 elsewhere, times C, less the number of the class: the first of the largest stands out.
    part.sub_(part.amax(1, keepdim=True)).sign_()
    classes = part.shape[1]
    minus_numbers = torch.arange(0, -classes, -1, dtype=part.dtype)[:, None]
    torch.add(minus_numbers, part, alpha=classes, out=part)
    return part.amax(1).neg_()
