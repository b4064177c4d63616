"""Against the convolution of the concatenated maps."""

from __future__ import annotations

import pytest
import torch
from benchmarks.memory import peak_extra_memory
from torch.nn import functional as F

from mmseg_deeplabv3x.ops import conv_of_concat


@pytest.mark.parametrize('kernel', [1, 3, 5])
@pytest.mark.parametrize('size', [(1, 1), (1, 6), (2, 3), (3, 4), (5, 5), (9, 7)])
@pytest.mark.parametrize('pooled', [[], [0], [1], [0, 2]])
def test_equals_the_convolution_of_the_concatenated_maps(kernel, size, pooled):
    generator = torch.Generator().manual_seed(0)
    channels = (3, 2, 4)
    maps = [
        torch.randn(2, c, *((1, 1) if i in pooled else size), generator=generator).double()
        for i, c in enumerate(channels)
    ]
    weight = torch.randn(5, sum(channels), kernel, kernel, generator=generator).double()
    bias = torch.randn(5, generator=generator).double()
    tensors = [t.requires_grad_() for t in (*maps, weight, bias)]
    whole = torch.cat([m.expand(-1, -1, *size) for m in maps], dim=1)
    theirs = F.conv2d(whole, weight, bias, padding=kernel // 2)
    ours = conv_of_concat(maps, weight, bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(ours.shape, generator=generator).double()
    grads = [torch.autograd.grad(y, tensors, upstream) for y in (ours, theirs)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('kernel', [1, 3])
@torch.no_grad()
def test_without_a_gradient_the_sum_is_formed_in_place(kernel):
    generator = torch.Generator().manual_seed(0)
    sizes = [(64, 64), (1, 1), (64, 64), (64, 64), (64, 64)]
    maps = [torch.randn(1, 2, *size, generator=generator) for size in sizes]
    copies = [m.clone() for m in maps]
    weight = torch.randn(64, 10, kernel, kernel, generator=generator)
    bias = torch.randn(64, generator=generator)
    whole = torch.cat([m.expand(-1, -1, 64, 64) for m in maps], dim=1)
    ours = conv_of_concat(maps, weight, bias)
    torch.testing.assert_close(ours, F.conv2d(whole, weight, bias, padding=kernel // 2))
    assert all(torch.equal(m, copy) for m, copy in zip(maps, copies))
    result = ours.numel() * ours.element_size()
    assert peak_extra_memory(lambda: conv_of_concat(maps, weight, bias)) < 2.9 * result
