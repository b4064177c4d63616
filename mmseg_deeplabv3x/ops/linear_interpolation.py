"""Linear interpolation along one side of a map, written as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def interpolation_matrix(size_in: int, size_out: int, align_corners: bool, like: Tensor) -> Tensor:
    """What ``interpolate(mode='linear')`` multiplies a signal by.

    Bilinear interpolation of a map is this matrix from the left (rows) and its transpose from the
    right (columns); the gradient takes the transposes, and so needs no atomic additions.

    Args:
        size_in: Length of the signal.
        size_out: Length after interpolation; may be the smaller one.
        align_corners: As of :func:`torch.nn.functional.interpolate`.
        like: Any tensor of the wanted dtype and device.

    Returns:
        (size_out, size_in). Positions are computed in float64: in float32 their rounding would be
        the largest error of an interpolated map.
    """
    unit_signals = torch.eye(size_in, dtype=torch.float64, device=like.device)[None]
    columns = F.interpolate(unit_signals, size_out, mode='linear', align_corners=align_corners)
    return columns[0].t().to(like.dtype).contiguous()


def inputs_of(outputs: slice, size_in: int, size_out: int, align_corners: bool) -> slice:
    """Which inputs a run of outputs is interpolated from.

    Plain arithmetic, so that a matrix on a GPU need not be read back.

    Args:
        outputs: Consecutive outputs.
        size_in: Length of the signal.
        size_out: Length after interpolation.
        align_corners: As of :func:`torch.nn.functional.interpolate`.

    Returns:
        The inputs; all other columns of the matrix are 0 in these rows.
    """

    def left_neighbour(output):
        if align_corners:
            position = output * ((size_in - 1) / max(size_out - 1, 1))
        else:
            position = max((output + 0.5) * (size_in / size_out) - 0.5, 0)
        return min(int(position), size_in - 1)

    return slice(left_neighbour(outputs.start), min(left_neighbour(outputs.stop - 1) + 2, size_in))
