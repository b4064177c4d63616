from __future__ import annotations

import pytest
import torch
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))


def build(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cfg = dict(type='AutocastOptimWrapper', optimizer=optimizer, **kwargs)
    return OPTIM_WRAPPERS.build(cfg)


def test_the_forward_pass_is_in_bfloat16_and_the_weights_are_not(model):
    wrapper = build(model)
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 3, 8, 8))
        loss = nn.functional.cross_entropy(out, torch.zeros(2, 4, 4, dtype=torch.long))
    assert out.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    before = [p.detach().clone() for p in model.parameters()]
    wrapper.update_params(loss)
    for old, new in zip(before, model.parameters()):
        assert new.dtype == torch.float32
        assert not torch.equal(old, new)
    assert model(torch.randn(1, 3, 8, 8)).dtype == torch.float32, 'only within the context'


def test_gradients_are_those_of_float32_but_for_rounding(model):
    image = torch.randn(2, 3, 8, 8)
    gradients = []
    for wrapper in (
        build(model),
        OPTIM_WRAPPERS.build(
            dict(type='OptimWrapper', optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
        ),
    ):
        model.zero_grad()
        with wrapper.optim_context(model):
            loss = model(image).float().square().mean()
        wrapper.backward(loss)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    error = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert 0 < error < 0.05


def test_gradients_accumulate_as_in_the_stock_wrapper(model):
    wrapper = build(model, accumulative_counts=2)
    before = model[0].weight.detach().clone()
    for step in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.ones(1, 3, 8, 8)).float().sum()
        wrapper.update_params(loss)
        assert torch.equal(model[0].weight, before) == (step == 0)
