"""GlobalMean2d: against PyTorch's pooling."""

import pytest
import torch
from torch import nn

from mmseg_deeplabv3x.models.layers.global_mean import GlobalMean2d


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(1, 1), (5, 7), (33, 33)])
def test_equals_adaptive_average_pooling(size, memory_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    x = x.to(memory_format=memory_format).requires_grad_()
    upstream = torch.randn(2, 3, 1, 1, dtype=torch.float64, generator=generator)
    results = []
    for pool in (GlobalMean2d(), nn.AdaptiveAvgPool2d(1)):
        y = pool(x)
        results.append((y, *torch.autograd.grad(y, x, upstream)))
    for mine, reference in zip(*results):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_no_map():
    x = torch.randn(2, 3, 5, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(GlobalMean2d()(x).sum(), x)
    assert gradient.shape == x.shape and gradient.stride()[2:] == (0, 0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_changes_its_type(dtype):
    y = GlobalMean2d()(torch.full((1, 2, 64, 64), 100.0, dtype=dtype))
    assert y.dtype == dtype and y.flatten().tolist() == [100, 100]
