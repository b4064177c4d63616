"""SpeedUpHook: the model is sped up where it can be, and refused where not."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmseg.registry import HOOKS, MODELS

from mmseg_deeplabv3x.engine.hooks import speed_up_hook
from mmseg_deeplabv3x.models.segmentors import fast_prediction


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Calls of keep_freed_memory(), which would outlast the test."""
    calls = []
    monkeypatch.setattr(speed_up_hook, 'keep_freed_memory', lambda: calls.append(None))
    return calls


class Model(torch.nn.Module):
    calls = 0

    def speed_up(self, precision, openvino):
        self.calls += 1
        self.how = precision, openvino
        if openvino and self.fails:
            raise RuntimeError('no such operation\nand more')

    fails = False


def before_test(model, **cfg):
    HOOKS.build(dict(type='SpeedUpHook', **cfg)).before_test(SimpleNamespace(model=model))


@pytest.fixture(params=[True, False])
def installed(monkeypatch, request):
    """Whether OpenVINO is pretended to be there."""
    monkeypatch.setattr(fast_prediction, 'find_spec', lambda name: request.param or None)
    return request.param


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(fast_prediction, 'print_log', lambda text, logger: lines.append(text))
    return lines


def test_openvino_computes_where_it_is_installed(installed, said):
    model = Model()
    before_test(model, precision='bf16')
    assert model.how == ('bf16', installed)
    before_test(model, runtime='torch')
    assert model.how == ('fp32', False)
    names = [line.split()[1] for line in said]
    assert names == ['openvino' if installed else 'torch', 'torch']


def test_openvino_is_for_a_cpu_alone():
    model = Model()
    model.weight = torch.nn.Parameter(torch.empty(1, device='meta'))
    before_test(model)
    assert model.how == ('fp32', False)
    with pytest.raises(ValueError, match="'openvino' computes on a CPU"):
        before_test(model, runtime='openvino')


def test_openvino_that_is_asked_for_and_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr(fast_prediction, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='pip install openvino'):
        before_test(Model(), runtime='openvino')


def test_a_network_that_openvino_cannot_convert_runs_by_pytorch(monkeypatch, said):
    monkeypatch.setattr(fast_prediction, 'find_spec', lambda name: True)
    model = Model()
    model.fails = True
    before_test(model)
    assert said[0].endswith('no such operation') and said[1].startswith('--fast: torch computes')
    with pytest.raises(RuntimeError, match='no such operation'):
        before_test(model, runtime='openvino')


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match='fp16.*bf16'):
        before_test(Model(), precision='fp16')


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


def test_a_model_that_cannot_is_refused_within_one_that_can():
    """RunningMeanTTAModel hands it on; else nothing is sped up, and the log says that it is."""
    inner = torch.nn.Linear(1, 1)
    inner.test_step = None  # TTA's models ask for one
    outer = MODELS.build(dict(type='RunningMeanTTAModel', module=inner))
    with pytest.raises(ValueError, match='--fast .* Linear has none'):
        before_test(outer)
