"""The peak is a rate."""

import pytest
import torch
from benchmarks.roofline import peak_gflops


def test_the_better_of_two_variants_is_the_peak(monkeypatch):
    times = iter([9.0, 9.0, 4.0, 8.0, 5.0, 2.0, *[9.0] * 6])
    called = []
    monkeypatch.setattr(
        'benchmarks.roofline.elapsed_ms',
        lambda variant: called.append(variant()) or next(times),
    )
    assert peak_gflops(size=32) == pytest.approx(2 * 32**3 / 2e-3 / 1e9)
    assert [tuple(result.shape) for result in called[:2]] == [(32, 32), (16, 32, 2, 1)]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_peak_is_a_rate(dtype):
    assert 0 < peak_gflops(dtype, size=64) < float('inf')
