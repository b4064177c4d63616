"""A run that is killed while it saves, or whose disk is full, and what --resume makes of it."""

from __future__ import annotations

import re
import shutil

import pytest
import torch

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

# Imported by the config of a run; the environment says which fault to meet.
FAULTS = """
import os, resource, signal

def kill_at_second(descriptor, written=[]):
    written.append(descriptor)
    if len(written) == 2:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get('FAULT') == 'kill':
    os.fsync = kill_at_second
if os.environ.get('FAULT') == 'full':
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
"""
CHANGES = {
    'custom_imports': dict(imports=['mmseg_deeplabv3x', 'faults']),
    'custom_hooks': [dict(type='ExactResumeHook'), dict(type='ThroughputHook')],
    'default_hooks.checkpoint.type': 'SafeCheckpointHook',
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'model.decode_head.dropout_ratio': 0.5,
    'train_dataloader.sampler.type': 'SeededInfiniteSampler',
    'train_dataloader.num_workers': 1,
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 6,
}


def files(work_dir):
    return sorted(path.name for path in work_dir.iterdir() if 'iter' in path.name)


def assert_same_weights(one, other):
    one, other = (read_checkpoint(str(path))['state_dict'] for path in (one, other))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope='module')
def faults(tmp_path_factory):
    """Folder of the module that the configs import."""
    folder = tmp_path_factory.mktemp('faults')
    (folder / 'faults.py').write_text(FAULTS)
    return folder


@pytest.fixture(scope='module')
def fault(run_tool, faults):
    """``fault('kill', config, work_dir, *flags)`` trains into a fault; gives the output."""

    def run(name, config, work_dir, *flags, tool='train.py', status=0):
        line = (tool, config, *flags, '--work-dir', work_dir)
        return run_tool(*line, FAULT=name, PYTHONPATH=str(faults), status=status)

    return run


@pytest.fixture(scope='module')
def killed(fault, tiny_config, tmp_path_factory):
    """(config, work dir) of a run that was killed while it wrote its second checkpoint."""
    config, work_dir = tiny_config('killed', CHANGES), tmp_path_factory.mktemp('killed')
    fault('kill', config, work_dir, status=-9)
    return config, work_dir


def test_a_kill_during_the_write_leaves_the_last_good_checkpoint(killed):
    half, good = files(killed[1])
    assert good == 'iter_2.pth' and half.startswith('.iter_4.pth.')
    assert read_checkpoint(str(killed[1] / good))['meta']['iter'] == 2
    assert (killed[1] / 'last_checkpoint').read_text() == str(killed[1] / 'iter_2.pth')


def test_a_killed_run_that_was_moved_ends_as_the_unbroken_one(
    killed, fault, faults, tmp_path, monkeypatch
):
    config, work_dir = killed
    moved = shutil.copytree(work_dir, tmp_path / 'moved')
    (moved / 'iter_3.pth').write_bytes(b'')
    (moved / 'last_checkpoint').write_text(str(work_dir / 'iter_3.pth'))
    output = fault('none', config, moved, '--resume')
    assert f'Resume: passed over {moved}/iter_3.pth: the file is damaged' in output
    assert f'Resume: going on from {moved}/iter_2.pth.' in output
    (moved / 'iter_3.pth').unlink()
    assert files(moved) == ['iter_6.pth'], 'what was half written is removed'

    monkeypatch.syspath_prepend(faults)
    cli_train.train([config, '--work-dir', str(tmp_path / 'unbroken')])
    assert_same_weights(moved / 'iter_6.pth', tmp_path / 'unbroken/iter_6.pth')


def test_a_full_disk_leaves_the_last_good_checkpoint(killed, fault, tmp_path):
    config, work_dir = killed
    full = shutil.copytree(work_dir, tmp_path / 'full')
    output = fault('full', config, full, '--resume', status=1)
    assert 'A checkpoint could not be written: [Errno 27] File too large' in output
    assert output.rstrip().endswith(f'the last good checkpoint is {full}/iter_2.pth.')
    assert 'Iter(val)' in output, 'training went on to its end'
    assert files(full) == ['iter_2.pth']
    assert read_checkpoint(str(full / 'iter_2.pth'))['meta']['iter'] == 2


@pytest.mark.slow
@pytest.mark.slow
def test_two_processes_resume_to_the_same_weights(fault, tiny_config, tmp_path):
    within_a_step = {
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'default_hooks.checkpoint.interval': 1,
        'optim_wrapper.accumulative_counts': 2,
        'train_cfg.max_iters': 2,
    }
    config = tiny_config('two_processes', {**CHANGES, **within_a_step})
    run = dict(tool='dist_train.sh')
    fault('none', config, tmp_path / 'unbroken', 2, **run)
    (tmp_path / 'resumed').mkdir()
    shutil.copy(tmp_path / 'unbroken/iter_1.pth', tmp_path / 'resumed')
    output = fault('none', config, tmp_path / 'resumed', 2, '--resume', **run)
    assert 'iterations 2 to 2;' in output
    assert_same_weights(tmp_path / 'resumed/iter_2.pth', tmp_path / 'unbroken/iter_2.pth')


def test_on_another_number_of_processes_the_log_says_what_changes(
    killed, fault, faults, tmp_path, monkeypatch
):
    config, _ = killed
    flags = ('--resume', '--cfg-options', 'train_cfg.val_interval=6')
    work_dir = shutil.copytree(killed[1], tmp_path / 'run')
    more = fault('none', config, work_dir, 2, *flags, 'train_cfg.max_iters=4', tool='dist_train.sh')
    said = re.findall('Resume: (processes .*? seen so far)', more)
    assert said == [
        'processes 1 -> 2, images per iteration 2 -> 4. Learning rate and schedule go on as saved, '
        'the data after the 4 images seen so far'
    ], 'once, not by each process'
    assert 'just skip' not in more, "the framework's word for what a checkpoint lacks"
    assert files(work_dir) == ['iter_4.pth']

    monkeypatch.syspath_prepend(faults)
    cli_train.train([config, '--work-dir', str(work_dir), *flags, 'visualizer.name=fewer'])
    log = max(work_dir.glob('*/*.log')).read_text()
    assert 'Resume: processes 2 -> 1, images per iteration 4 -> 2. ' in log
    assert 'the data after the 12 images seen so far' in log
    assert files(work_dir) == ['iter_6.pth']
