from __future__ import annotations

import os
from pathlib import Path

import pytest

FAKE = """#!/usr/bin/env bash
printf '%s\\n' "$@"
"""
# The first call is warned that the time is up, the second one goes well.
WARNED = """#!/usr/bin/env bash
echo "call: $*"
[ -e "$0.called" ] && exit 0
touch "$0.called"
exit {status}
"""


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """A ``srun`` that prints its arguments, one a line."""
    path = tmp_path / 'srun'
    path.write_text(FAKE)
    path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    for name in ('GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK', 'SRUN_ARGS', 'SLURM_JOB_ID'):
        monkeypatch.delenv(name, raising=False)
    return path


def words(output):
    """The arguments of srun, and those of the tool with the path of the tool cut to its name."""
    lines = output.splitlines()
    python = lines.index('python')
    assert lines[python + 1] == '-u'
    script = Path(lines[python + 2])
    assert script.is_file()
    return lines[:python], [script.name, *lines[python + 3 :]]


def test_training_under_slurm(srun, run_tool):
    output = run_tool('slurm_train.sh', 'gpu', 'my job', 'a.py', '--cfg-options', 'b="[1, 2]"')
    options, tool = words(output)
    assert options == [
        '-p',
        'gpu',
        '--job-name=my job',
        '--gres=gpu:4',
        '--ntasks=4',
        '--ntasks-per-node=4',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        '--signal=USR1@120',
    ]
    assert tool == ['train.py', '--launcher', 'slurm', 'a.py', '--cfg-options', 'b="[1, 2]"']


def test_the_signal_is_the_users_choice(srun, run_tool):
    output = run_tool('slurm_train.sh', 'gpu', 'job', 'a.py', SRUN_ARGS='--signal=USR1@600')
    assert words(output)[0][-2:] == ['--signal=USR1@120', '--signal=USR1@600'], (
        'the last one counts'
    )


def test_when_the_time_is_up_a_new_allocation_resumes(srun, run_tool):
    srun.write_text(WARNED.format(status=138))
    first, second = run_tool('slurm_train.sh', 'gpu', 'job', 'a.py', '--amp').splitlines()
    assert first.endswith('train.py --launcher slurm a.py --amp')
    assert second == f'{first} --resume'


def test_when_the_time_is_up_a_batch_job_is_requeued(srun, run_tool):
    srun.write_text(WARNED.format(status=138))
    scontrol = srun.with_name('scontrol')
    scontrol.write_text(FAKE)
    scontrol.chmod(0o755)
    output = run_tool('slurm_train.sh', 'gpu', 'job', 'a.py', SLURM_JOB_ID='123')
    assert output.splitlines()[1:] == ['requeue', '123']


@pytest.mark.parametrize('status', [1, 75, 143])
def test_other_ends_are_final(srun, run_tool, status):
    srun.write_text(WARNED.format(status=status))
    output = run_tool('slurm_train.sh', 'gpu', 'job', 'a.py', status=status)
    assert len(output.splitlines()) == 1


def test_evaluation_under_slurm_with_mmsegs_environment(srun, run_tool):
    environment = dict(
        GPUS='16', GPUS_PER_NODE='8', CPUS_PER_TASK='3', SRUN_ARGS='--quotatype=spot --time=1:00'
    )
    output = run_tool('slurm_test.sh', 'gpu', 'job', 'a.py', 'w.pth', '--tta', **environment)
    options, tool = words(output)
    assert options[3:] == [
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=3',
        '--kill-on-bad-exit=1',
        '--quotatype=spot',
        '--time=1:00',
    ]
    assert tool == ['test.py', '--launcher', 'slurm', 'a.py', 'w.pth', '--tta']
