"""Runs that are resumed in their middle, beside the unbroken one."""

import shutil
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.datasets.samplers import seeded_infinite_sampler
from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint
from mmseg_deeplabv3x.engine.hooks import ExactResumeHook, exact_resume_hook
from mmseg_deeplabv3x.engine.hooks.exact_resume_hook import resume_conditions

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

    def run(name, num_workers=0, start=None, **changes):
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
                **changes,
            },
        )
        cfg = Config.fromfile(config)
        loader = cfg.train_dataloader
        loader.dataset.pipeline.insert(2, dict(type='PhotoMetricDistortion'))
        loader.dataset = dict(
            type='BootstrapDataset', times=3, hard_classes=['ring'], dataset=loader.dataset
        )
        cfg.dump(config)
        cli_train.train([config, '--work-dir', str(work_dir), *['--resume'] * bool(start)])
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
    expected, found = (read_checkpoint(str(run[4])) for run in (unbroken, resumed))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(found[part], expected[part]), part
    assert losses(found) == losses(expected) and len(losses(found)) == 4
    assert not same(found['state_dict'], read_checkpoint(str(unbroken[2]))['state_dict'])
    if num_workers == 0:
        assert len(loaded) == 2 * BATCH, 'what was seen before is not loaded again'


CARRIED = {
    'two_iterations_a_step': {'optim_wrapper.accumulative_counts': 2},
    'loss_scale': {
        'optim_wrapper.type': 'AmpOptimWrapper',
        'optim_wrapper.dtype': 'bfloat16',
        'optim_wrapper.loss_scale': dict(init_scale=4.0, growth_interval=2),
    },
    'average': {'custom_hooks': [dict(type='ExactResumeHook'), dict(type='EMAHook', momentum=0.3)]},
}


@pytest.mark.parametrize('name', CARRIED)
def test_whatever_else_a_run_carries_is_resumed_within_a_step(train, name, amp_on_cpu):
    changes = {'default_hooks.checkpoint.interval': 1, **CARRIED[name]}
    whole = train(name, **changes)
    rest = train(f'{name}_resumed', start=whole[1], **changes)
    expected, found = (read_checkpoint(str(run[4])) for run in (whole, rest))
    for part in {'state_dict', 'ema_state_dict', 'optimizer', 'gradients'} & expected.keys():
        assert same(found[part], expected[part]), part
    pending = [bool(read_checkpoint(str(whole[i]))['gradients']) for i in (1, 2, 3, 4)]
    within = name == 'two_iterations_a_step'
    assert pending == [within, False, within, False]
    scaled = expected['optimizer'].get('loss_scaler', {}).get('scale')
    assert scaled == (16.0 if name == 'loss_scale' else None)  # doubled after each second step


def test_the_validation_that_was_due_is_run_first_and_early_stopping_counts_on(train):
    # more than any mIoU can rise: it stops after the second validation that it waits for
    stop = dict(type='EarlyStoppingHook', monitor='mIoU', patience=2, min_delta=100)
    changes = {
        'custom_hooks': [dict(type='ExactResumeHook'), stop],
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.checkpoint.save_best': 'mIoU',
        'train_cfg.val_interval': 1,
        'train_cfg.max_iters': 6,
    }
    whole = train('stopped', **changes)
    rest = train('stopped_resumed', start=whole[2], **changes)
    assert max(whole) == max(rest) == 3
    info = [read_checkpoint(str(run[3]))['message_hub']['runtime_info'] for run in (whole, rest)]
    assert info[0]['best_score'] == info[1]['best_score']


def batches(sampler, iteration, count=2, data=tuple(range(5))):
    """The batches that a loop takes which starts at this iteration, as upstream's ``run`` does."""
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loader = DataLoader(data, batch_size=BATCH, sampler=sampler, collate_fn=list)
    loop._iter, loop.dataloader_iterator = iteration, iter(loader)
    runner = SimpleNamespace(train_loop=loop, train_dataloader=loader, hooks=[])
    ExactResumeHook().before_train(runner)
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


DATA = tuple(range(7))


def go_on(monkeypatch, checkpoint, processes=1, batch=BATCH, seed=3, iterations=3):
    """Go on from a checkpoint (or start) with several processes, one after the other.

    Gives the images of each iteration, the next checkpoint, and what a process logs.
    """
    monkeypatch.setattr(exact_resume_hook, 'get_world_size', lambda: processes)
    start = checkpoint['meta']['iter'] if checkpoint else 0
    images = [[] for _ in range(iterations)]
    for rank in range(processes):
        sampler = InfiniteSampler(DATA, seed=seed)
        sampler.rank, sampler.world_size = rank, processes
        loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
        loader = DataLoader(DATA, batch_size=batch, sampler=sampler, collate_fn=list)
        loop._iter, loop.dataloader_iterator = start, iter(loader)
        lines = []
        logger = SimpleNamespace(warning=lines.append)
        runner = SimpleNamespace(train_loop=loop, train_dataloader=loader, logger=logger, hooks=[])
        hook = ExactResumeHook()
        if checkpoint:
            hook.after_load_checkpoint(runner, checkpoint)
        hook.before_train(runner)
        for _ in range(start):
            next(loop.dataloader_iterator)
        for of_all in images:
            of_all += next(loop.dataloader_iterator)
        saved = dict(meta=dict(iter=start + iterations))
        hook.before_save_checkpoint(runner, saved)
    return images, saved, lines


def test_on_other_processes_the_data_goes_on_where_it_was(monkeypatch):
    order = iter(InfiniteSampler(DATA, seed=3))
    checkpoint = None
    for processes, batch in [(1, 4), (2, 4), (2, 1), (3, 2), (1, 1), (4, 1)]:
        images, checkpoint, _ = go_on(monkeypatch, checkpoint, processes, batch)
        for found in images:
            assert sorted(found) == sorted(islice(order, processes * batch))


def test_the_log_says_what_changes(monkeypatch):
    _, one, lines = go_on(monkeypatch, None, batch=4)
    assert lines == []
    assert go_on(monkeypatch, one, batch=4)[2] == []
    _, two, (line,) = go_on(monkeypatch, one, processes=2, batch=4)
    assert line == (
        'Resume: processes 1 -> 2, images per iteration 4 -> 8. Learning rate and schedule go on '
        'as saved, the data after the 12 images seen so far; bit by bit, it is no longer the '
        'unbroken run.'
    )
    assert go_on(monkeypatch, two, processes=2, batch=4)[2] == [], 'it is said once'
    (line,) = go_on(monkeypatch, two, batch=4)[2]
    assert 'processes 2 -> 1, images per iteration 8 -> 4. ' in line
    assert 'after the 36 images seen so far' in line
    (line,) = go_on(monkeypatch, one, processes=2, batch=2, seed=5)[2]
    assert line.startswith('Resume: processes 1 -> 2, seed of the data 3 -> 5. ')


def test_of_a_checkpoint_that_tells_nothing_no_change_is_known(monkeypatch):
    whole, _, _ = go_on(monkeypatch, None, iterations=20)
    stock = dict(meta=dict(iter=7))
    images, _, lines = go_on(monkeypatch, stock, iterations=13)
    assert (images, lines) == (whole[7:], [])


def test_of_a_sampler_that_ends_no_place_is_told(monkeypatch):
    lines, loader = [], DataLoader(DATA, batch_size=2, sampler=DefaultSampler(DATA))
    runner = SimpleNamespace(
        train_loop=SimpleNamespace(iter=4),
        train_dataloader=loader,
        logger=SimpleNamespace(warning=lines.append),
        hooks=[],
    )
    hook = ExactResumeHook()
    saved = dict(resume_conditions(loader), processes=8)
    hook.after_load_checkpoint(runner, dict(meta=dict(exact_resume=dict(setting=saved, seen=64))))
    hook.before_train(runner)
    assert 'processes 8 -> 1. Learning rate and schedule go on as saved; bit' in lines[0]


def test_weights_without_meta_are_loaded_as_ever():
    ExactResumeHook().after_load_checkpoint(None, dict(state_dict={}))


def drawn(monkeypatch, seed=0, iteration=0, rank=0):
    monkeypatch.setattr('mmseg_deeplabv3x.engine.hooks.exact_resume_hook.get_rank', lambda: rank)
    ExactResumeHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), iteration)
    return torch.rand(()).item(), np.random.random()


def test_random_numbers_follow_from_seed_process_and_iteration(monkeypatch):
    keys = [{}, dict(seed=1), dict(iteration=1), dict(rank=1)]
    found = [drawn(monkeypatch, **key) for key in keys]
    torch.rand(5)
    assert found == [drawn(monkeypatch, **key) for key in keys]
    assert len(set(found)) == 4


def test_the_conditions_of_a_run_are_plain_values():
    loader = DataLoader(range(5), batch_size=2, sampler=InfiniteSampler(range(5), seed=7))
    conditions = resume_conditions(loader)
    assert conditions == {
        'processes': 1,
        'images per iteration': 2,
        'seed of the data': 7,
        'torch': torch.__version__,
    }
    assert {type(value) for value in conditions.values()} == {int, str}
    batches = BatchSampler(SequentialSampler(range(5)), 2, False)
    conditions = resume_conditions(DataLoader(range(5), batch_sampler=batches))
    assert (conditions['images per iteration'], conditions['seed of the data']) == (0, None)
