"""What ends a training before its time, with the real command lines."""

from __future__ import annotations

import re

import pytest
import torch

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

# Imported by the config of a run: faults that happen at a given iteration.
FAULTS = """
import os, signal, time
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, TRANSFORMS

@HOOKS.register_module()
class SignalAt(Hook):
    def __init__(self, iteration, names, rank=0, start=0):
        self.when = iteration, rank, start
        self.names = names

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        start = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0))
        if (batch_idx + 1, int(os.environ.get('RANK', 0)), start) == self.when:
            for name in self.names:
                os.kill(os.getpid(), getattr(signal, name))
                time.sleep(1.1)

@HOOKS.register_module()
class NaNAt(Hook):
    def __init__(self, iterations):
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx + 1 in self.iterations:
            data_batch['inputs'][1] = torch.full(data_batch['inputs'][1].shape, float('nan'))

@TRANSFORMS.register_module()
class FaultyWorker:
    def __init__(self, good, fault):
        self.good, self.fault = good, fault

    def __call__(self, results):
        self.good -= 1
        if self.good < 0:
            if self.fault == 'hang':
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGKILL)
        return results
"""


@pytest.fixture
def fault(tiny_config, tmp_path, run_tool, request):
    """``fault(changes, tool='train.py', ...)`` runs the tiny config with ``changes``."""
    (tmp_path / 'faults.py').write_text(FAULTS)

    def run(changes, *args, tool='train.py', flags=(), **kwargs):
        common = {
            'custom_imports': dict(imports=['mmseg_deeplabv3x', 'faults']),
            'default_hooks.checkpoint.type': 'SafeCheckpointHook',
            'train_cfg.val_interval': 100,
        }
        config = tiny_config(request.node.name.replace('[', '_').strip(']'), {**common, **changes})
        line = (tool, config, *args, '--work-dir', tmp_path / 'run', *flags)
        return run_tool(*line, PYTHONPATH=str(tmp_path), **kwargs)

    return run


def saved(work_dir):
    return {path.name for path in work_dir.glob('*.pth')}


def state(path):
    return read_checkpoint(str(path))['state_dict']


def iterations(output):
    return [int(i) for i in re.findall(r'Iter\(train\) \[ *(\d+)/', output)]


def hooks(*faults):
    return [dict(type='StopSignalHook'), dict(type='FiniteStepHook', max_in_a_row=2), *faults]


def test_sigterm_ends_the_iteration_and_saves(fault, tmp_path):
    stop = dict(type='SignalAt', iteration=3, names=['SIGTERM'])
    changes = {'custom_hooks': hooks(stop), 'train_dataloader.num_workers': 1}
    output = fault(changes, status=143)
    assert iterations(output) == [1, 2, 3]
    path = tmp_path / 'run/iter_3.pth'
    assert f'Stopped by SIGTERM. Iteration 3 is saved in {path}: go on with --resume.' in output
    assert (tmp_path / 'run/last_checkpoint').read_text() == str(path)

    changes['custom_hooks'] = hooks()
    assert iterations(fault(changes, flags=['--resume'])) == [4]


def test_a_second_signal_stops_at_once(fault, tmp_path):
    stop = dict(type='SignalAt', iteration=2, names=['SIGINT', 'SIGTERM'])
    output = fault({'custom_hooks': hooks(stop)}, status=-15)
    assert iterations(output) == [1]
    assert saved(tmp_path / 'run') == set()


def test_steps_on_nan_are_skipped_and_then_end_the_run(fault, tmp_path, shapes_root):
    changes = {
        'custom_hooks': hooks(dict(type='NaNAt', iterations=[2, 4, 5])),
        'default_hooks.checkpoint.interval': 1,
        'train_cfg.max_iters': 6,
    }
    output = fault(changes, status=1)
    assert (
        'Step skipped, 1 in a row, 1 in all; 2 in a row end the training: at iteration 2' in output
    )
    last = output.splitlines()[-1]
    assert last.startswith('FloatingPointError: 2 steps in a row were skipped: at iteration 5 ')
    assert f'images: {shapes_root}/JPEGImages/' in last
    assert last.endswith(f'The last checkpoint: {tmp_path}/run/iter_4.pth.')

    one, two, three = (state(tmp_path / f'run/iter_{i}.pth') for i in (1, 2, 3))
    counts = {key for key in one if key.endswith('num_batches_tracked')}
    assert all(torch.equal(one[key], two[key]) for key in one.keys() - counts)
    assert not all(torch.equal(two[key], three[key]) for key in one.keys() - counts)
    assert all(value.isfinite().all() for value in three.values())
    assert saved(tmp_path / 'run') == {f'iter_{i}.pth' for i in (1, 2, 3, 4)}


@pytest.mark.slow
@pytest.mark.parametrize(
    'kind, text',
    [
        ('kill', r'DataLoader worker \(pid.*(killed by signal: Killed|exited).*out of memory.*'),
        ('hang', r'DataLoader timed out after 3 seconds; a worker hangs, or the disk is too slow'),
    ],
    ids=['kill', 'hang'],
)
def test_a_worker_that_fails_ends_the_run_with_a_checkpoint(fault, tmp_path, kind, text):
    # 2 images a batch; what comes after two batches is lost
    broken = dict(type='FaultyWorker', good=5, fault=kind)
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    crop, pack = dict(type='RandomCrop', crop_size=(65, 65)), dict(type='PackSegInputs')
    changes = {
        'custom_hooks': hooks(),
        'default_hooks.checkpoint.interval': 100,
        'train_cfg.max_iters': 100,
        'train_dataloader.num_workers': 1,
        'train_dataloader.timeout': 3,
        'train_dataloader.dataset.pipeline': [*load, broken, crop, pack],
    }
    output = fault(changes, status=75)
    assert len(re.findall(f'Data loading failed: {text}', output)) == 1
    assert 'Traceback' not in output
    (name,) = saved(tmp_path / 'run')
    assert name == f'iter_{iterations(output)[-1]}.pth'


def test_torchrun_restarts_what_was_killed_and_ranks_stop_together(fault, tmp_path):
    kill = dict(type='SignalAt', iteration=4, names=['SIGKILL'], rank=1, start=0)
    stop = dict(type='SignalAt', iteration=5, names=['SIGUSR1'], rank=1, start=1)
    changes = {'custom_hooks': hooks(kill, stop), 'train_cfg.max_iters': 8}
    output = fault(changes, 2, tool='dist_train.sh', MAX_RESTARTS='1', status=1)
    # killed before 4, where 2 was the last to be saved
    assert iterations(output) == [1, 2, 3, 3, 4, 5]
    assert 'Stopped with another process of this run. Iteration 5 is saved' in output
    assert len(re.findall(r'exitcode +: 138 ', output)) == 2
    assert saved(tmp_path / 'run') == {f'iter_{i}.pth' for i in (2, 4, 5)}
