"""Against PyTorch's own choice of convolution."""

import pytest
import torch
from torch.nn import functional as F

from mmseg_deeplabv3x.ops import pointwise_conv2d


@pytest.fixture(params=[1, 2], ids=['one thread', 'two threads'])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def with_gradients(convolve, *tensors):
    y = convolve(*tensors)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y, *torch.autograd.grad(y, tensors, upstream)]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('shape', [(2, 4, 9, 11), (1, 4, 3, 5), (16, 4, 1, 1), (2, 1, 9, 1)])
@pytest.mark.parametrize('bias', [True, False])
def test_equals_conv2d(shape, bias, dtype, memory_format, threads):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype).to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(6, shape[1], 1, 1, dtype=dtype, requires_grad=True)
    offset = [torch.randn(6, dtype=dtype, requires_grad=True)] * bias
    ours = with_gradients(pointwise_conv2d, x, weight, *offset)
    theirs = with_gradients(F.conv2d, x, weight, *offset)
    for mine, reference in zip(ours, theirs):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-4)


def test_the_view_of_a_map_is_convolved():
    torch.manual_seed(0)
    x = torch.randn(2, 19, 11, 4)[:, 2:17, 3:].permute(0, 3, 1, 2)
    weight = torch.randn(4, 6, 1, 1).transpose(0, 1)
    torch.testing.assert_close(pointwise_conv2d(x, weight), F.conv2d(x, weight))


def operations(convolve, x, weight):
    with torch.profiler.profile() as profile:
        convolve(x, weight).sum().backward()
    return {event.name for event in profile.events()}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='this PyTorch has no oneDNN')
@pytest.mark.parametrize('threads', [1], indirect=True)
def test_on_one_thread_it_is_onednn_that_convolves(threads):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 11).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(6, 4, 1, 1, requires_grad=True)
    names = operations(pointwise_conv2d, x, weight)
    assert 'aten::mkldnn_convolution' in names
    assert not any('slow_conv2d' in name for name in names)


def test_a_map_in_pytorchs_own_layout_is_not_copied():
    x, weight = torch.randn(2, 4, 9, 11), torch.randn(6, 4, 1, 1)
    assert pointwise_conv2d(x, weight).is_contiguous()


def test_under_autocast():
    x = torch.randn(2, 4, 9, 11).to(memory_format=torch.channels_last)
    weight = torch.randn(6, 4, 1, 1)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(pointwise_conv2d(x, weight), F.conv2d(x, weight))
