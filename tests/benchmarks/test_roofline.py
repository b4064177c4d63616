"""The work that is counted is PyTorch's count; the peak is a rate."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmseg_deeplabv3x.benchmarks.roofline import conv_gflop, peak_gflops


def test_counts_what_pytorch_counts():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=4, dilation=4, groups=2, bias=False),
        nn.Conv2d(8, 5, 1),
    ).double()  # in float32 FlopCounterMode does not see what oneDNN computes
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        network(images)
    gflop = conv_gflop(network, lambda: network(images))
    assert gflop * 1e9 == pytest.approx(counter.get_total_flops())
    assert conv_gflop(network, lambda: [network(images), network(images)]) == 2 * gflop


def test_nothing_is_left_on_the_network():
    network = nn.Sequential(nn.Conv2d(3, 8, 1))
    with pytest.raises(RuntimeError):
        conv_gflop(network, lambda: network(torch.zeros(1, 5, 2, 2)))
    assert not network[0]._forward_hooks


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
