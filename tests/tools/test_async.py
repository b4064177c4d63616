"""Asynchronous replicas as whole programs on this machine, killed, hung and joined."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

from .conftest import TOOLS, environment

CHANGES = {
    'model.decode_head.dropout_ratio': 0.5,
    'train_dataloader.sampler.type': 'SeededInfiniteSampler',
    'default_hooks.checkpoint.type': 'SafeCheckpointHook',
    'default_hooks.checkpoint.interval': 10,
    'custom_hooks': [
        dict(type='ExactResumeHook'),
        dict(type='FiniteStepHook'),
        dict(type='StopSignalHook'),
        dict(type='ThroughputHook'),
    ],
    'train_cfg.max_iters': 20,
    'train_cfg.val_interval': 10,
}
# Imported by the config: what takes a minute takes seconds.
IMPATIENT = """
from mmseg_deeplabv3x.engine.loops import holder
holder.HUNG_SECONDS = 3.0
"""


class Program:
    """``tools/async_train.sh`` with some arguments; its output is read as it comes."""

    def __init__(self, log, *args, within=(), **changes):
        self.log = log
        with open(log, 'ab') as output:
            self.process = subprocess.Popen(
                [*within, 'bash', str(TOOLS / 'async_train.sh'), *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(**changes),
                start_new_session=True,
            )

    def output(self):
        return self.log.read_text()

    def wait_for(self, pattern, count=1, seconds=120):
        """The matches of a pattern, once there are as many."""
        ends = time.monotonic() + seconds
        while len(found := re.findall(pattern, self.output())) < count:
            # by itself, its output is all there; of one that was killed, replicas may still speak
            ended = self.process.poll() not in (None, -signal.SIGKILL)
            ended = ended and len(re.findall(pattern, self.output())) < count
            assert time.monotonic() < ends and not ended, self.output()
            time.sleep(0.1)
        return found

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    """Starts a program; whatever is left of it ends with the test."""
    programs = []

    def run(*args, **changes):
        programs.append(Program(tmp_path / f'{len(programs)}.log', *args, **changes))
        return programs[-1]

    yield run
    for program in programs:
        program.end()
        for pid in re.findall(r'process (\d+)\) has joined', program.output()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def assert_same(one, other):
    one, other = (read_checkpoint(str(path)) for path in (one, other))
    for name, value in one['state_dict'].items():
        assert torch.equal(value, other['state_dict'][name]), name
    for key, state in one['optimizer']['state'].items():
        assert torch.equal(
            state['momentum_buffer'], other['optimizer']['state'][key]['momentum_buffer']
        )
    rates = [[g['lr'] for g in c['optimizer']['param_groups']] for c in (one, other)]
    assert rates[0] == rates[1]


@pytest.mark.slow
def test_one_replica_is_the_synchronous_loop_bit_for_bit(tiny_config, run_tool, tmp_path):
    """Momentum, poly, dropout, BN; and resumed in the middle, by loader workers."""
    config = tiny_config('async_one', CHANGES)
    run_tool('train.py', config, '--work-dir', tmp_path / 'sync')
    one = tmp_path / 'one'
    output = run_tool('async_train.sh', config, 1, '--work-dir', one)
    assert_same(one / 'iter_20.pth', tmp_path / 'sync/iter_20.pth')
    assert (
        'Staleness: mean 0.00, most 0; steps by staleness: 0: 20; gradients dropped: 0.' in output
    )
    assert re.search(r'Iter\(val\) \[3/3\].*mIoU', output)

    (one / 'iter_20.pth').unlink()
    workers = ('--cfg-options', 'train_dataloader.num_workers=1')
    output = run_tool('async_train.sh', config, 1, '--resume', '--work-dir', one, *workers)
    assert output.count('Resume: going on from') == 1, 'the holder alone'
    assert_same(one / 'iter_20.pth', tmp_path / 'sync/iter_20.pth')


@pytest.mark.slow
def test_replicas_die_hang_join_and_are_turned_away(tiny_config, start, tmp_path):
    (tmp_path / 'impatient.py').write_text(IMPATIENT)
    endless = {
        'custom_imports': dict(imports=['mmseg_deeplabv3x', 'impatient']),
        'train_cfg.max_iters': 1_000_000,
        'train_cfg.val_interval': 1_000_000,
    }
    config = tiny_config('async_faults', {**CHANGES, **endless})
    path = dict(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')]))
    work_dir = tmp_path / 'work_dir'
    job = start(config, 2, '--work-dir', work_dir, **path)
    first, second = map(int, job.wait_for(r'process (\d+)\) has joined', 2))
    (port,) = job.wait_for(r'Replicas may join at port (\d+)')
    job.wait_for(r'staleness: [1-9]')

    os.kill(first, signal.SIGKILL)
    job.wait_for(rf'process {first}\) is gone, .* replicas left: 1')
    join = ('--join', f'localhost:{port}', config, 1)
    other = start(*join, '--cfg-options', 'model.decode_head.channels=8', **path)
    assert other.process.wait() == 1
    why = "its model.decode_head.channels is 8, the holder's is 16."
    assert other.output().rstrip().endswith(f'The holder turns this replica away: {why}')
    assert f'is turned away: {why}' in job.output()

    third = start(*join, **path)
    (pid,) = job.wait_for(r'process (\d+)\) has joined; replicas: 2', 2)[-1:]
    os.kill(int(pid), signal.SIGSTOP)
    job.wait_for(rf'process {pid}\) has said nothing for 3 s; the others go on')
    steps = len(re.findall(r'Iter\(train\)', job.output()))
    job.wait_for(r'Iter\(train\)', steps + 20)
    os.kill(int(pid), signal.SIGCONT)
    job.wait_for(r'staleness: (?:[2-9]\d|\d{3})')  # 20 or more: its gradient, late

    os.kill(job.process.pid, signal.SIGTERM)
    assert job.process.wait() == 143
    saved = re.findall(r'Stopped by SIGTERM. Iteration (\d+) is saved', job.output())
    assert read_checkpoint(str(work_dir / f'iter_{saved[0]}.pth'))['meta']['iter'] == int(saved[0])
    assert third.process.wait() == 0, 'it was told that it is over'
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


@pytest.mark.slow
def test_the_replicas_of_a_killed_holder_end_and_it_resumes(tiny_config, start, tmp_path):
    config = tiny_config('async_holder', {**CHANGES, 'train_cfg.max_iters': 1_000_000})
    work_dir = tmp_path / 'work_dir'
    job = start(config, 2, '--work-dir', work_dir)
    pids = [int(pid) for pid in job.wait_for(r'process (\d+)\) has joined', 2)]
    job.wait_for('Saving checkpoint')
    job.wait_for(r'Iter\(train\) \[ *2\d/')
    os.kill(job.process.pid, signal.SIGKILL)
    job.process.wait()
    started = time.monotonic()
    sentence = r'A replica ends, since its holder at \S+ is gone\. .* with --resume\.'
    job.wait_for(rf'(?m)^{sentence}$', 2, 60)
    assert 'train.py: ' not in job.output()
    while any(os.path.exists(f'/proc/{pid}') for pid in pids):
        assert time.monotonic() - started < 60
        time.sleep(0.1)
    assert 'Traceback' not in job.output()

    # which may name another than the newest: it was killed at any time
    steps = int(Path((work_dir / 'last_checkpoint').read_text()).stem[5:]) + 15
    options = ('--cfg-options', f'train_cfg.max_iters={steps}')
    again = start(config, 2, '--resume', '--work-dir', work_dir, *options)
    assert again.process.wait() == 0, again.output()
    assert (work_dir / f'iter_{steps}.pth').is_file()
    assert f'iterations {steps - 14} to {steps};' in again.output()


@pytest.fixture
def two_hosts():
    """Two network namespaces, joined by a cable: the words to start a command in each of them."""
    names = [f'mmseg_{os.getpid()}_{index}' for index in (0, 1)]

    def ip(*words):
        subprocess.run(['ip', *map(str, words)], check=True, capture_output=True)

    try:
        for name in names:
            ip('netns', 'add', name)
        links = ('near', 'far')
        ip('-n', names[0], 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far')
        ip('-n', names[0], 'link', 'set', 'far', 'netns', names[1])
        for name, link, address in zip(names, links, ('10.77.0.1/24', '10.77.0.2/24'), strict=True):
            ip('-n', name, 'address', 'add', address, 'dev', link)
            for up in ('lo', link):
                ip('-n', name, 'link', 'set', up, 'up')
        yield [('ip', 'netns', 'exec', name) for name in names]
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'two network namespaces need root, iproute2 and a kernel with both: {error}')
    finally:
        for name in names:
            with contextlib.suppress(OSError):
                subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)


@pytest.mark.slow
def test_two_machines(tiny_config, start, two_hosts, tmp_path):
    """This machine's name stands for a loopback address or for one that the namespaces lack."""
    config = tiny_config('async_machines', {**CHANGES, 'train_cfg.max_iters': 1_000_000})
    nodes = dict(NNODES='2', MASTER_ADDR='10.77.0.1', PORT='29517')
    args = (config, 1, '--work-dir', tmp_path / 'work_dir')
    job = start(*args, within=two_hosts[0], NODE_RANK='0', **nodes)
    other = start(*args, within=two_hosts[1], NODE_RANK='1', **nodes)
    job.wait_for(r'has joined; replicas: 2')
    job.wait_for(r'staleness: [1-9]')
    os.kill(job.process.pid, signal.SIGTERM)
    assert job.process.wait() == 143, job.output()
    assert other.process.wait() == 0, other.output()


def test_replicas_must_be_a_number(run_tool):
    output = run_tool('async_train.sh', 'configs/a.py', 'many', status=2)
    assert output == "REPLICAS must be a number of processes, but got 'many'\n"


def test_the_usage_of_both_forms(run_tool):
    for args in ((), ('--join', 'localhost:1')):
        assert 'async_train.sh --join HOST:PORT CONFIG' in run_tool(
            'async_train.sh', *args, status=2
        )
