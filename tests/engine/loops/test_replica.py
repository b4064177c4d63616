import itertools
import json
from collections import deque
from datetime import timedelta

import pytest
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler

from mmseg_deeplabv3x.engine.loops import link
from mmseg_deeplabv3x.engine.loops.link import connect
from mmseg_deeplabv3x.engine.loops.replica import (
    dealt_indices,
    differing_setting,
    join,
    settings_of,
)


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


# ---- joining


@pytest.fixture
def holder_of_replica_0():
    """The store of a holder that lets the first replica in, and then does not come."""
    store = dist.TCPStore('localhost', 0, is_master=True, wait_for_workers=False)
    store.set('answer/0', json.dumps(dict(refused='')))
    return store


def test_a_holder_that_does_not_come_is_named(holder_of_replica_0, monkeypatch):
    monkeypatch.setattr(link, 'MEETING', timedelta(seconds=1))
    store = connect(f'127.0.0.1:{holder_of_replica_0.port}')
    sentence = 'This replica, at 127.0.0.1, and its holder, at 127.0.0.1, do not reach each other; '
    with pytest.raises(ValueError, match=sentence):
        join(store, {})


def test_the_holder_is_told_at_which_address_it_was_reached(holder_of_replica_0, monkeypatch):
    monkeypatch.setattr(link, 'MEETING', timedelta(seconds=1))
    with pytest.raises(ValueError, match='its holder, at 127.0.0.2, '):
        join(connect(f'127.0.0.2:{holder_of_replica_0.port}'), {})
    asks = json.loads(holder_of_replica_0.get('join/0'))
    assert asks['address'] == '127.0.0.2'


# ---- the settings


def config(changes=None):
    cfg = Config(
        dict(
            model=dict(
                type='A',
                pretrained='/a/r18.pth',
                backbone=dict(depth=18, init_cfg=dict(checkpoint='/a/r18.pth')),
            ),
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
        'model.pretrained': '/b/r18.pth',
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
