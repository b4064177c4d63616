"""Linear interpolation along one side of a map, written as a matrix."""

import torch
from torch import Tensor
from torch.nn import functional as F


def interpolation_matrix(size_in: int, size_out: int, align_corners: bool, like: Tensor) -> Tensor:
    """What ``interpolate(mode='linear')`` multiplies a signal by, (size_out, size_in).

    Bilinear interpolation of a map is this matrix from the left (rows) and its transpose from the
    right (columns); the gradient takes the transposes, and so needs no atomic additions. It has the
    dtype and the device of ``like``; positions are computed in float64: in float32 their rounding
    would be the largest error of an interpolated map.
    """
    unit_signals = torch.eye(size_in, dtype=torch.float64, device=like.device)[None]
    columns = F.interpolate(unit_signals, size_out, mode='linear', align_corners=align_corners)
    return columns[0].t().to(like.dtype).contiguous()


def tiles_of(
    length: int, size_in: int, size_out: int, align_corners: bool
) -> list[tuple[slice, slice]]:
    """Cut the outputs into runs of ``length``: inputs that each is interpolated from, and outputs.

    Plain arithmetic, so that a matrix on a GPU need not be read back.
    """

    def left_neighbour(output):
        if align_corners:
            position = output * ((size_in - 1) / max(size_out - 1, 1))
        else:
            position = max((output + 0.5) * (size_in / size_out) - 0.5, 0)
        return min(int(position), size_in - 1)

    tiles = []
    for start in range(0, size_out, length):
        stop = min(start + length, size_out)
        right = min(left_neighbour(stop - 1) + 1, size_in - 1)
        tiles.append((slice(left_neighbour(start), right + 1), slice(start, stop)))
    return tiles
