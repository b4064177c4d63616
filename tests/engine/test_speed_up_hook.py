"""SpeedUpHook: the model is sped up where it can be, and refused where not."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmseg.registry import HOOKS

import mmseg_deeplabv3x  # noqa: F401


class Model(torch.nn.Module):
    calls = 0

    def speed_up(self):
        self.calls += 1


def before_test(model):
    HOOKS.build(dict(type='SpeedUpHook')).before_test(SimpleNamespace(model=model))


def test_speeds_up():
    model = Model()
    before_test(model)
    assert model.calls == 1


def test_speeds_up_what_is_wrapped():
    model = Model()
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    torch.nn.Module.__init__(wrapped)
    wrapped.module = model
    before_test(wrapped)
    assert model.calls == 1


def test_a_model_that_cannot_is_refused():
    with pytest.raises(ValueError, match='--fast .* Linear has none'):
        before_test(torch.nn.Linear(1, 1))
