"""Against the convolution with all its zeros, in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmseg_deeplabv3x import atrous
from mmseg_deeplabv3x.ops.valid_tap_conv import WORTH_A_COPY, valid_tap_conv2d


def draw(n, height, width, dtype=torch.float64, memory_format=torch.contiguous_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 5, height, width, generator=generator, dtype=dtype)
    weight = torch.randn(4, 5, 3, 3, generator=generator, dtype=dtype)
    return [t.to(memory_format=memory_format).requires_grad_() for t in (x, weight)]


def with_gradients(convolve, x, weight, upstream_format=torch.contiguous_format):
    y = convolve(x, weight)
    if upstream_format is None:  # of a sum
        upstream = torch.ones((), dtype=y.dtype).expand_as(y)
    else:
        upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        upstream = upstream.to(memory_format=upstream_format)
    return [y, *torch.autograd.grad(y, (x, weight), upstream)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 2),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    rate=st.integers(1, 13),
    memory_format=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    upstream=st.sampled_from([torch.contiguous_format, torch.channels_last, None]),
)
def test_equals_the_convolution(n, height, width, rate, memory_format, upstream):
    tensors = draw(n, height, width, memory_format=memory_format)
    ours, theirs = [
        with_gradients(convolve, *tensors, upstream)
        for convolve in (
            lambda x, w: valid_tap_conv2d(x, w, rate),
            lambda x, w: F.conv2d(x, w, padding=rate, dilation=rate),
        )
    ]
    for mine, reference in zip(ours, theirs):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('rate', [18, 33, 12, 2, 1])
def test_gradient_of_the_filters_by_valid_taps_only(rate, memory_format):
    x, weight = draw(1, 33, 33, memory_format=memory_format)
    y = valid_tap_conv2d(x.detach(), weight, rate)
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    share = atrous.valid_tap_share(33, 33, rate)
    if rate == 1 or (memory_format is torch.contiguous_format and share >= WORTH_A_COPY):
        share = 1  # the convolution's own gradient, which multiplies with zeros too
    assert counter.get_total_flops() == pytest.approx(share * 2 * 9 * 5 * 4 * 33 * 33)


def test_in_prediction_it_is_the_convolution():
    """Which copies nothing to channels_last: PyTorch's own layout gives the result in it."""
    x, weight = draw(1, 33, 33)
    expected = F.conv2d(x, weight, padding=18, dilation=18)
    with torch.no_grad():
        predictions = [valid_tap_conv2d(x, weight, 18)]
    predictions.append(valid_tap_conv2d(x, weight.detach(), 18))  # and with frozen filters
    assert all(torch.equal(y, expected) and y.is_contiguous() for y in predictions)
    assert not valid_tap_conv2d(x, weight, 18).is_contiguous()


@pytest.mark.parametrize('rate,taps', [(32, 9), (33, 1), (40, 1)])
def test_once_all_other_taps_are_on_the_padding_the_centre_is_left(rate, taps):
    x, weight = draw(1, 33, 20)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        valid_tap_conv2d(x, weight, rate)
    assert counter.get_total_flops() == taps * 2 * 5 * 4 * 33 * 20


def test_in_half_precision_it_is_the_convolution():
    x, weight = draw(3, 33, 33, torch.bfloat16)
    ours = with_gradients(lambda x, w: valid_tap_conv2d(x, w, 18), x, weight)
    theirs = with_gradients(lambda x, w: F.conv2d(x, w, padding=18, dilation=18), x, weight)
    assert all(torch.equal(mine, reference) for mine, reference in zip(ours, theirs))


def test_under_autocast_it_is_the_convolution():
    x, weight = draw(3, 33, 33, torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        ours = with_gradients(lambda x, w: valid_tap_conv2d(x, w, 18), x, weight)
        theirs = with_gradients(lambda x, w: F.conv2d(x, w, padding=18, dilation=18), x, weight)
    assert ours[0].dtype == torch.bfloat16
    assert all(torch.equal(mine, reference) for mine, reference in zip(ours, theirs))


@pytest.mark.parametrize('frozen', [0, 1])
def test_a_frozen_input_or_filter_gets_no_gradient(frozen):
    tensors = draw(1, 9, 9)
    tensors[frozen].requires_grad_(False)
    valid_tap_conv2d(*tensors, 8).sum().backward()
    assert tensors[frozen].grad is None and tensors[1 - frozen].grad is not None


def test_second_derivatives_are_refused():
    x, weight = draw(1, 9, 9)
    y = valid_tap_conv2d(x, weight, 8)
    with pytest.raises(RuntimeError, match='once, but got create_graph=True'):
        torch.autograd.grad(y.sum(), x, create_graph=True)
