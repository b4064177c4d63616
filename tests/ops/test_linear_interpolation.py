from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmseg_deeplabv3x.ops.linear_interpolation import interpolation_matrix, tiles_of

sizes = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.booleans())
def test_product_with_the_matrix_is_interpolation(size_in, size_out, align_corners):
    signal = torch.randn(3, size_in, dtype=torch.float64)
    matrix = interpolation_matrix(size_in, size_out, align_corners, signal)
    reference = F.interpolate(signal[None], size_out, mode='linear', align_corners=align_corners)
    assert torch.allclose(signal @ matrix.t(), reference[0], rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.booleans(), st.integers(1, 50))
def test_tiles_cover_the_outputs_and_know_their_inputs(size_in, size_out, align_corners, length):
    like = torch.empty(0, dtype=torch.float64)
    matrix = interpolation_matrix(size_in, size_out, align_corners, like)
    covered = []
    for inputs, outputs in tiles_of(length, size_in, size_out, align_corners):
        covered += range(outputs.start, outputs.stop)
        assert 0 < outputs.stop - outputs.start <= length
        assert 0 <= inputs.start < inputs.stop <= size_in
        other = matrix[outputs].clone()
        other[:, inputs] = 0
        # a position within rounding of an input may go either way
        assert other.abs().max() < 1e-12
    assert covered == list(range(size_out))


@pytest.mark.parametrize('align_corners', [True, False])
def test_a_tile_reads_few_rows(align_corners):
    tiles = tiles_of(24, 65, 513, align_corners)
    assert max(inputs.stop - inputs.start for inputs, _ in tiles) <= 5


def test_positions_are_not_rounded_to_single_precision():
    """Elsewhere the error of a weight is the position's, 64 times that of a number below 1."""
    exact = interpolation_matrix(65, 513, False, torch.empty(0, dtype=torch.float64))
    single = interpolation_matrix(65, 513, False, torch.empty(0))
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 6e-8
