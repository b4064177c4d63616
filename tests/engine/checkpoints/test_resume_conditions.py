import pickle

import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from mmseg_deeplabv3x.engine.checkpoints import resume_conditions as module
from mmseg_deeplabv3x.engine.checkpoints.resume_conditions import (
    changed_conditions,
    resume_conditions,
)

DATA = range(5)


def test_the_setting_is_plain_values(monkeypatch):
    monkeypatch.setattr(module, 'get_world_size', lambda: 3)
    setting = resume_conditions(
        DataLoader(DATA, batch_size=2, sampler=InfiniteSampler(DATA, seed=7))
    )
    assert setting == {
        'processes': 3,
        'images per iteration': 6,
        'seed of the data': 7,
        'torch': torch.__version__,
    }
    assert {type(value) for value in setting.values()} == {int, str}
    assert pickle.loads(pickle.dumps(setting)) == setting


def test_a_loader_of_another_kind_has_a_setting_too():
    setting = resume_conditions(
        DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 2, False))
    )
    assert (setting['images per iteration'], setting['seed of the data']) == (0, None)


def test_what_changes_is_what_both_know_and_differs():
    now = dict(a=1, b=2, c=None)
    assert (
        changed_conditions({}, now)
        == changed_conditions(now, now)
        == changed_conditions(dict(z=1), now)
        == ''
    )
    assert changed_conditions(dict(a=0, c='x', b=2, z=5), now) == 'a 0 -> 1, c x -> None'
