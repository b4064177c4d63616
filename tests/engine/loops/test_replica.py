import itertools
from collections import deque

import pytest
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler

from mmseg_deeplabv3x.engine.loops.replica import dealt_indices, differing_setting, settings_of


@pytest.fixture
def deal():
    """Dealers of one job, each with a sampler of its own, as in its own process."""
    store = dist.HashStore()

    def one(start=0, left=()):
        taken = deque()
        sampler = InfiniteSampler(list(range(10)), shuffle=True, seed=3)
        return dealt_indices(store, start, list(left), sampler, 3, taken), taken

    return one


def endless():
    return InfiniteSampler(list(range(10)), shuffle=True, seed=3)._infinite_indices()


def take(indices, count):
    return list(itertools.islice(indices, count))


def test_one_replica_has_the_order_of_the_sampler(deal):
    indices, taken = deal()
    assert take(indices, 30) == take(endless(), 30)
    assert list(taken) == list(range(10))


def test_no_two_replicas_see_the_same_image_in_a_pass(deal):
    dealers = [deal()[0] for _ in range(3)]
    order = [0, 1, 1, 2, 0, 1, 2, 2, 1, 0]  # however fast each of them is
    batches = [take(dealers[which], 3) for which in order]
    assert sum(batches, []) == take(endless(), 30)
    assert sorted(sum(batches, [])[:10]) == list(range(10))


def test_after_a_resume_what_was_left_comes_first(deal):
    (one, taken), (other, _) = deal(start=6, left=[2, 4]), deal(start=6, left=[2, 4])
    batches = [take(one, 3), take(other, 3), take(one, 3)]
    whole = take(endless(), 30)
    assert batches == [whole[6:9], whole[12:15], whole[18:21]]
    assert list(taken) == [2, 6]


# ---- the settings


def config(changes=None):
    cfg = Config(
        dict(
            model=dict(type='A', backbone=dict(depth=18, init_cfg=dict(checkpoint='/a/r18.pth'))),
            train_dataloader=dict(
                batch_size=2,
                num_workers=4,
                dataset=dict(data_root='/a', pipeline=[dict(type='Crop', size=(65, 65))]),
            ),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=dict(type='AsyncReplicaLoop', replicas=4),
        )
    )
    cfg.merge_from_dict(changes or {})
    return settings_of(cfg)


def test_where_a_machine_has_its_files_is_its_own_business():
    moved = {
        'model.backbone.init_cfg.checkpoint': '/b/r18.pth',
        'train_dataloader.dataset.data_root': '/b',
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': True,
        'train_cfg.replicas': 1,
    }
    assert differing_setting(config(), config(moved)) == ''


@pytest.mark.parametrize(
    ('name', 'value', 'was'),
    [
        ('model.backbone.depth', 50, 18),
        ('train_dataloader.batch_size', 4, 2),
        ('train_dataloader.dataset.pipeline.0.size', 33, None),
        ('optim_wrapper.type', 'AutocastOptimWrapper', 'OptimWrapper'),
        ('train_cfg.gradient_dtype', 'bfloat16', None),
        ('model.new', 1, None),
    ],
)
def test_what_the_gradient_hangs_on_is_compared(name, value, was):
    why = differing_setting(config(), config({name: value}))
    assert why.startswith(f'its {name}') and why.endswith('.')
    if was is not None:
        assert why == f"its {name} is {value}, the holder's is {was}."


def test_another_version_differs():
    own = config()
    assert 'torch' in differing_setting(own, dict(own, torch='1.0'))
    assert 'mmseg_deeplabv3x is 0.0,' in differing_setting(own, dict(own, mmseg_deeplabv3x='0.0'))
