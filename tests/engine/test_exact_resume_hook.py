"""Runs that are resumed in their middle, beside the unbroken one."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.engine import ExactResumeHook, cli, seeded_infinite_sampler

BATCH = 2


def same(one, other):
    """Whether two checkpoints, or parts of them, are equal bit by bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def losses(checkpoint):
    values, _ = checkpoint['message_hub']['log_scalars']['train/loss'].data
    return values.tolist()


@pytest.fixture(scope='module')
def train(tiny_config, tmp_path_factory):
    """Trains 4 iterations with dropout, augmentation and bootstrapping; gives the checkpoints.

    ``train('name', start=checkpoint)`` goes on from there.
    """

    def run(name, num_workers=0, start=None):
        work_dir = tmp_path_factory.mktemp(name)
        if start:
            shutil.copy(start, work_dir)
        config = tiny_config(
            name,
            {
                'train_dataloader.num_workers': num_workers,
                'train_dataloader.sampler.type': 'SeededInfiniteSampler',
                'model.decode_head.dropout_ratio': 0.5,
                'train_cfg.val_interval': 2,
                'default_hooks.checkpoint.type': 'SafeCheckpointHook',
                'custom_hooks': [dict(type='ExactResumeHook')],
            },
        )
        cfg = Config.fromfile(config)
        loader = cfg.train_dataloader
        loader.dataset.pipeline.insert(2, dict(type='PhotoMetricDistortion'))
        loader.dataset = dict(
            type='BootstrapDataset', times=3, hard_classes=['ring'], dataset=loader.dataset
        )
        cfg.dump(config)
        cli.train([config, '--work-dir', str(work_dir), *['--resume'] * bool(start)])
        return {int(path.stem[5:]): path for path in work_dir.glob('iter_*.pth')}

    return run


@pytest.fixture(scope='module')
def unbroken(train):
    return train('unbroken')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_the_resumed_run_is_the_unbroken_one_bit_by_bit(train, unbroken, num_workers, monkeypatch):
    loaded = []
    sample = seeded_infinite_sampler._SeededFetch._sample
    monkeypatch.setattr(
        seeded_infinite_sampler._SeededFetch,
        '_sample',
        lambda self, index: loaded.append(index) or sample(self, index),
    )
    resumed = train(f'resumed{num_workers}', num_workers, start=unbroken[2])
    expected, found = (torch.load(run[4]) for run in (unbroken, resumed))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(found[part], expected[part]), part
    assert losses(found) == losses(expected) and len(losses(found)) == 4
    assert not same(found['state_dict'], torch.load(unbroken[2])['state_dict'])
    if num_workers == 0:
        assert len(loaded) == 2 * BATCH, 'what was seen before is not loaded again'


def batches(sampler, iteration, count=2, data=tuple(range(5))):
    """The batches that a loop takes which starts at this iteration, as upstream's ``run`` does."""
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loader = DataLoader(data, batch_size=BATCH, sampler=sampler, collate_fn=list)
    loop._iter, loop.dataloader_iterator = iteration, iter(loader)
    ExactResumeHook().before_train(SimpleNamespace(train_loop=loop, train_dataloader=loader))
    for _ in range(iteration):
        next(loop.dataloader_iterator)
    return [next(loop.dataloader_iterator) for _ in range(count)]


def test_the_frameworks_sampler_is_placed_too():
    whole, rest = (batches(InfiniteSampler(range(5), seed=3), *at) for at in ((0, 20), (7, 13)))
    assert rest == whole[7:]


def test_a_sampler_that_ends_is_left_to_the_framework():
    sampler = DefaultSampler(range(9), shuffle=False)
    assert batches(sampler, 2, data=range(9)) == [[4, 5], [6, 7]]


def test_a_distant_start_loads_nothing():
    class Data(list):
        def __getitem__(self, index):
            loaded.append(index)
            return index

    loaded = []
    batches(InfiniteSampler(range(5), seed=3), 20000, data=Data(range(5)))
    assert len(loaded) == 2 * BATCH


def drawn(monkeypatch, seed=0, iteration=0, rank=0):
    monkeypatch.setattr('mmseg_deeplabv3x.engine.exact_resume_hook.get_rank', lambda: rank)
    ExactResumeHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), iteration)
    return torch.rand(()).item(), np.random.random()


def test_random_numbers_follow_from_seed_process_and_iteration(monkeypatch):
    keys = [{}, dict(seed=1), dict(iteration=1), dict(rank=1)]
    found = [drawn(monkeypatch, **key) for key in keys]
    torch.rand(5)
    assert found == [drawn(monkeypatch, **key) for key in keys]
    assert len(set(found)) == 4
