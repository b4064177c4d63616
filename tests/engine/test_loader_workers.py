from __future__ import annotations

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_deeplabv3x.engine import loader_workers


@pytest.mark.parametrize(
    'text, hint',
    [
        ('DataLoader worker (pid 12) is killed by signal: Killed. ', 'memory'),
        ('DataLoader worker (pid(s) 12, 13) exited unexpectedly', 'memory'),
        (
            'DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that '
            "dataloader's workers are out of shared memory.",
            '/dev/shm',
        ),
        ('DataLoader timed out after 300 seconds', 'train_dataloader.timeout'),
    ],
)
def test_each_failure_has_its_reason(text, hint):
    message = loader_workers.explain(RuntimeError(text))
    assert message.startswith(f'Data loading failed: {text[:20]}')
    assert hint in message
    assert 'num_workers' in message
    assert '\n' not in message


def test_other_errors_are_not_about_workers():
    assert loader_workers.explain(RuntimeError('CUDA out of memory')) is None


def config(**loader):
    return Config(dict(randomness=dict(seed=7), train_dataloader=loader, val_dataloader=None))


def test_loaders_with_workers_get_a_timeout_and_keep_their_own():
    cfg = config(num_workers=2)
    loader_workers.prepare_loaders(cfg)
    assert cfg.train_dataloader.timeout == loader_workers.TIMEOUT_SECONDS
    cfg = config(num_workers=2, timeout=5)
    loader_workers.prepare_loaders(cfg)
    assert cfg.train_dataloader.timeout == 5


def test_pytorch_refuses_a_timeout_without_workers_so_there_is_none():
    cfg = config(num_workers=0)
    loader_workers.prepare_loaders(cfg)
    assert cfg.train_dataloader == dict(num_workers=0)


class Draws(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.randint(1 << 30, (1,)).item(), os.getpgrp() == os.getpid()


def test_workers_have_the_seed_of_the_runner_and_a_group_of_their_own():
    sampler = dict(type='DefaultSampler', shuffle=False)
    stock = dict(batch_size=1, num_workers=2, dataset=Draws(), sampler=sampler)
    expected = [number for (number,), _ in Runner.build_dataloader(stock, seed=7)]

    own_group = config(num_workers=2)
    loader_workers.prepare_loaders(own_group)
    ours = dict(stock, **own_group.train_dataloader.to_dict())
    drawn = list(Runner.build_dataloader(ours, seed=7))
    assert [number for (number,), _ in drawn] == expected
    assert all(alone for _, (alone,) in drawn)


class FakeRunner:
    def __init__(self, error):
        self.error = error

    def train(self):
        raise self.error


def test_other_errors_go_their_way():
    error = RuntimeError('something else')
    with pytest.raises(RuntimeError) as caught:
        loader_workers.run_training(FakeRunner(error))
    assert caught.value is error
