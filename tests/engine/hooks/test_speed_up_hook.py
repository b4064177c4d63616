"""SpeedUpHook: the model is sped up where it can be, and refused where not."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmseg.registry import HOOKS

from mmseg_deeplabv3x.engine.hooks import speed_up_hook


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Calls of keep_freed_memory(), which would outlast the test."""
    calls = []
    monkeypatch.setattr(speed_up_hook, 'keep_freed_memory', lambda: calls.append(None))
    return calls


class Model(torch.nn.Module):
    calls = 0

    def speed_up(self):
        self.calls += 1


def before_test(model):
    HOOKS.build(dict(type='SpeedUpHook')).before_test(SimpleNamespace(model=model))


def test_speeds_up(kept):
    model = Model()
    before_test(model)
    assert model.calls == len(kept) == 1


def test_memory_is_kept_on_a_cpu_only(kept):
    model = Model()
    model.weight = torch.nn.Parameter(torch.empty(1, device='meta'))
    before_test(model)
    assert model.calls == 1 and not kept


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
