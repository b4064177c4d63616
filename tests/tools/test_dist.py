"""Several processes on this machine's CPU, through the real scripts."""

from __future__ import annotations

import os
import re

import pytest

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

FAKE_PYTHON = """#!/usr/bin/env bash
echo "$OMP_NUM_THREADS $MKL_NUM_THREADS"
printf '%s\\n' "$@"
"""


@pytest.fixture(scope='module')
def config(tiny_config):
    """A config whose gradient is the same for one process and for two with half the batch each.

    Two processes average their losses, one process takes the mean of its own. The two agree when
    every image weighs the same: the loss divides by all pixels (``avg_non_ignore`` would divide by
    the labelled ones, which differ between the halves), BN is frozen, nothing is dropped out or cut
    at random, and the framework's sampler deals the same images out to one or two processes.
    """
    whole_image = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
    return tiny_config(
        'dist',
        {
            'model.freeze_bn': True,
            'model.decode_head.dropout_ratio': 0.0,
            'model.decode_head.loss_decode': dict(type='CrossEntropyLoss', avg_non_ignore=False),
            'train_dataloader.dataset.pipeline': whole_image,
            'optim_wrapper.optimizer.lr': 0.05,
            'param_scheduler.end': 10,
        },
    )


def warned(output):
    lines = [line for line in output.splitlines() if re.search('warn', line, re.IGNORECASE)]
    # what mmseg says to this config's choice of avg_non_ignore is for its user to hear
    allowed = ('cross_entropy_loss.py', '  warnings.warn(')
    return [line for line in lines if not any(text in line for text in allowed)]


def weights(path):
    return read_checkpoint(str(path))['state_dict']


def gradients(path):
    """Gradient of each weight in the first step: what momentum starts from."""
    states = read_checkpoint(str(path))['optimizer']['state']
    return {key: state['momentum_buffer'] for key, state in states.items()}


def difference(one, other):
    assert one.keys() == other.keys()
    return max((one[key].double() - other[key].double()).abs().max().item() for key in one)


@pytest.fixture(scope='module')
def one(config, tmp_path_factory):
    """Work dir of one process with the whole batch, 3 iterations."""
    from mmseg_deeplabv3x.cli import train as cli_train

    work_dir = tmp_path_factory.mktemp('one')
    options = ['train_dataloader.batch_size=4', 'train_cfg.max_iters=3']
    options += ['default_hooks.checkpoint.interval=1']
    cli_train.train([config, '--work-dir', str(work_dir), '--cfg-options', *options])
    return work_dir


@pytest.fixture(scope='module')
def two(config, run_tool, tmp_path_factory):
    """Work dir and output of two processes: 2 iterations, then resumed for one more."""
    work_dir = tmp_path_factory.mktemp('two')
    line = ('dist_train.sh', config, 2, '--work-dir', work_dir)
    options = ('--cfg-options', 'default_hooks.checkpoint.interval=1')
    started = run_tool(*line, *options, 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    resumed = run_tool(*line, '--resume', *options, 'train_cfg.max_iters=3')
    return work_dir, started, resumed


def test_two_processes_train_validate_and_save(two):
    work_dir, started, _ = two
    assert 'processes: 2' in started
    assert len(re.findall(r'Iter\(train\) \[2/2\]', started)) == 1, 'only one of them logs'
    assert started.count('Data: train 6 images') == 1
    assert re.search(r'Iter\(val\) \[2/2\].*mIoU: ', started), '3 images between 2 processes'
    assert (work_dir / 'iter_2.pth').is_file()
    assert warned(started) == []


def test_two_processes_resume(two):
    work_dir, _, resumed = two
    assert 'iterations 3 to 3' in resumed
    assert resumed.count('Resume: going on') == 1
    assert weights(work_dir / 'iter_3.pth')
    assert warned(resumed) == []


def test_two_processes_have_the_gradient_of_one(one, two):
    single = gradients(one / 'iter_1.pth')
    assert difference(single, gradients(two[0] / 'iter_1.pth')) < 1e-5
    assert max(gradient.abs().max().item() for gradient in single.values()) > 1e-2


@pytest.mark.parametrize('iteration', [1, 2, 3])
def test_two_processes_take_the_steps_of_one(one, two, iteration):
    """The third is taken by the resumed processes."""
    single = weights(one / f'iter_{iteration}.pth')
    assert difference(single, weights(two[0] / f'iter_{iteration}.pth')) < 1e-5
    if iteration > 1:
        before = weights(one / f'iter_{iteration - 1}.pth')
        assert difference(single, before) > 1e-3, 'a step is far longer than the tolerance'


def test_two_processes_evaluate_as_one(config, two, run_tool, tmp_path):
    from mmseg_deeplabv3x.cli import test as cli_test

    checkpoint = two[0] / 'iter_3.pth'
    output = run_tool(
        'dist_test.sh', config, checkpoint, 2, '--work-dir', tmp_path / 'two', '--tta'
    )
    found = re.findall(r'Iter\(test\) \[2/2\].*(mIoU: \S+)', output)
    assert len(found) == 1
    assert warned(output) == []

    line = [config, str(checkpoint), '--work-dir', str(tmp_path / 'one'), '--tta']
    cli_test.test([*line, '--cfg-options', 'visualizer.name=dist_test'])
    (log,) = (tmp_path / 'one').glob('*/*.log')
    assert found[0] in log.read_text()


@pytest.fixture
def torchrun(tmp_path, run_tool):
    """dist_train.sh with a ``python`` that prints its arguments."""
    path = tmp_path / 'python'
    path.write_text(FAKE_PYTHON)
    path.chmod(0o755)
    names = ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'MAX_RESTARTS')
    unset = dict.fromkeys(names, '')
    unset['PATH'] = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    return lambda *args, **changes: run_tool('dist_train.sh', *args, **{**unset, **changes})


def test_on_one_node_the_port_is_a_free_one(torchrun):
    lines = torchrun('a.py', 2, '--cfg-options', 'b="[1, 2]"').splitlines()
    assert lines[1:6] == ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
    assert lines[6].endswith('tools/train.py')
    assert lines[7:] == ['--launcher', 'pytorch', 'a.py', '--cfg-options', 'b="[1, 2]"']


def test_on_several_nodes_they_meet_at_the_master(torchrun):
    environment = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234')
    lines = torchrun('a.py', 8, **environment).splitlines()
    meet = '--nnodes 2 --node_rank 1 --master_addr 10.0.0.1 --master_port 1234'
    assert lines[3:11] == meet.split()
    assert lines[11:13] == ['--nproc_per_node', '8']


def test_a_port_of_ones_own_on_one_node(torchrun):
    assert '--master_port 1234' in ' '.join(torchrun('a.py', 2, PORT='1234').splitlines())


def test_torchrun_restarts_as_often_as_asked(torchrun):
    lines = torchrun('a.py', 2, MAX_RESTARTS='3').splitlines()
    assert lines[3:8] == ['--standalone', '--max_restarts', '3', '--nproc_per_node', '2']
    assert '--max_restarts' not in torchrun('a.py', 2)


def test_several_nodes_restart_together(torchrun):
    environment = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234')
    lines = torchrun('a.py', 8, MAX_RESTARTS='3', **environment).splitlines()
    meet = '--nnodes 2 --rdzv_backend c10d --rdzv_id train.py --rdzv_endpoint 10.0.0.1:1234'
    assert lines[3:11] == meet.split()
    assert lines[11:13] == ['--max_restarts', '3']


def test_the_cores_are_shared_out(torchrun):
    cores = len(os.sched_getaffinity(0))
    both = dict(OMP_NUM_THREADS='', MKL_NUM_THREADS='')
    assert torchrun('a.py', 1, **both).splitlines()[0] == f'{cores} {cores}'
    assert torchrun('a.py', 1000, **both).splitlines()[0] == '1 1'
    assert torchrun('a.py', 1, OMP_NUM_THREADS='3').splitlines()[0].startswith('3 ')


def test_gpus_must_be_a_number(run_tool):
    output = run_tool('dist_train.sh', '8', 'configs/a.py', status=2)
    assert output == "GPUS must be a number of processes, but got 'configs/a.py'\n"
