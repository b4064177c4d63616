import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmseg_deeplabv3x.cli.whole_checkpoint import load_whole_checkpoint


class Segmentor(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone, self.auxiliary_head = nn.Linear(2, 3), nn.Linear(3, 1)
        self.bn = nn.BatchNorm1d(3)

    def forward(self, inputs):
        return inputs


@pytest.fixture
def runner(tmp_path):
    return Runner(Segmentor(), str(tmp_path), experiment_name=tmp_path.name)


@pytest.fixture
def state():
    return Segmentor().state_dict()


@pytest.fixture
def load(runner, tmp_path):
    def load(state):
        torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'weights.pth')
        load_whole_checkpoint(runner, str(tmp_path / 'weights.pth'))
        return runner.model.state_dict()

    return load


def test_whole_checkpoint_is_loaded_once(load, runner, state, monkeypatch):
    assert all(torch.equal(value, state[key]) for key, value in load(state).items())
    runner._load_from = 'no file'
    runner.load_or_resume()  # as runner.test() does


def test_what_only_a_training_needs_may_be_missing_and_more_may_be_there(load, runner, state):
    state = {key: value for key, value in state.items() if 'auxiliary' not in key}
    del state['bn.num_batches_tracked']
    loaded = load(state | {'fc.weight': torch.ones(1)})
    assert all(torch.equal(value, loaded[key]) for key, value in state.items())
    runner._load_from = 'no file'
    runner.load_or_resume()


def test_missing_weight(load, state):
    del state['backbone.bias']
    with pytest.raises(
        ValueError, match=r'weights\.pth is no checkpoint .* lacks backbone\.bias\.'
    ):
        load(state)


def test_nothing_fits(load):
    with pytest.raises(ValueError, match=r'it lacks backbone\.weight, .* and 3 more\.') as info:
        load({'x': torch.ones(1)})
    assert '\n' not in str(info.value)


def test_another_shape(load, state):
    state['backbone.weight'] = torch.ones(3, 4)
    with pytest.raises(ValueError, match=r'size mismatch for backbone\.weight.*\(\[3, 4\]\)'):
        load(state)
