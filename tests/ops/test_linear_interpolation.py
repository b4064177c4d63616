from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmseg_deeplabv3x.ops.linear_interpolation import inputs_of, interpolation_matrix

sizes = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.booleans())
def test_product_with_the_matrix_is_interpolation(size_in, size_out, align_corners):
    signal = torch.randn(3, size_in, dtype=torch.float64)
    matrix = interpolation_matrix(size_in, size_out, align_corners, signal)
    reference = F.interpolate(signal[None], size_out, mode='linear', align_corners=align_corners)
    assert torch.allclose(signal @ matrix.t(), reference[0], rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.booleans(), st.data())
def test_no_other_inputs_are_needed(size_in, size_out, align_corners, data):
    start = data.draw(st.integers(0, size_out - 1))
    outputs = slice(start, data.draw(st.integers(start + 1, size_out)))
    inputs = inputs_of(outputs, size_in, size_out, align_corners)
    like = torch.empty(0, dtype=torch.float64)
    rows = interpolation_matrix(size_in, size_out, align_corners, like)[outputs].clone()
    assert 0 <= inputs.start < inputs.stop <= size_in
    rows[:, inputs] = 0
    assert rows.abs().max() < 1e-12  # a position within rounding of an input may go either way


@pytest.mark.parametrize('align_corners', [True, False])
def test_a_strip_reads_few_rows(align_corners):
    inputs = inputs_of(slice(256, 280), 65, 513, align_corners)
    assert inputs.stop - inputs.start <= 5


def test_positions_are_not_rounded_to_single_precision():
    """Elsewhere the error of a weight is the position's, 64 times that of a number below 1."""
    exact = interpolation_matrix(65, 513, False, torch.empty(0, dtype=torch.float64))
    single = interpolation_matrix(65, 513, False, torch.empty(0))
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 6e-8
