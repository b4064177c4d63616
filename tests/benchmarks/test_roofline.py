"""The work is counted, the peak is a rate."""

import pytest
import torch
from torch import nn

from mmseg_deeplabv3x.benchmarks.roofline import flop, peak_gflops


def test_counts_the_products_and_sums_of_convolutions():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, padding=4, dilation=4, bias=False),
    )
    first, second = 8 * 3 * 49, 4 * 8 * 9
    positions = 2 * 17 * 21
    images = torch.randn(2, 3, 33, 41)
    assert flop(lambda: network(images)) == 2 * positions * (first + second)
    # backward: the gradients of both filters, and of the map between them
    backward = flop(lambda: network(images).sum().backward())
    assert backward == 2 * positions * (2 * first + 3 * second)


def test_the_better_of_two_ways_is_the_peak(monkeypatch):
    times = iter([9.0, 9.0, 4.0, 8.0, 5.0, 2.0, *[9.0] * 6])
    called = []
    monkeypatch.setattr(
        'mmseg_deeplabv3x.benchmarks.roofline.elapsed_ms',
        lambda way: called.append(way()) or next(times),
    )
    assert peak_gflops(size=32) == pytest.approx(2 * 32**3 / 2e-3 / 1e9)
    assert [tuple(result.shape) for result in called[:2]] == [(32, 32), (16, 32, 2, 1)]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_peak_is_a_rate(dtype):
    assert 0 < peak_gflops(dtype, size=64) < float('inf')
