"""The Makefile and CI's script, with a stand-in for Python: no environment is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOTH = 'lite,dev,deploy,weights,report'  # extras of both environments


@pytest.fixture
def make_with(tmp_path):
    """Runs ``make TARGET`` with a script in place of Python; gives its exit code and output."""
    for name in ('Makefile', 'setup.cfg', 'pyproject.toml', 'constraints*.txt'):
        for path in ROOT.glob(name):
            shutil.copy(path, tmp_path)

    def run(target, *lines):
        python = tmp_path / 'python'
        python.write_text('\n'.join(['#!/bin/sh', *lines]))
        python.chmod(0o755)
        command = ['make', '-C', str(tmp_path), target, f'PYTHON={python}']
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


# Runs what stands behind -c, after these words.
PRETEND = 'exec {} -c "import sys; {}; exec(sys.argv[1])" "$2"'


@pytest.mark.parametrize(
    'lines',
    [
        ['exit 127'],
        [PRETEND.format(sys.executable, 'sys.version_info = (3, 10, 12)')],
        [PRETEND.format(sys.executable, "sys.modules['ensurepip'] = None")],
    ],
    ids=['no Python', 'old', 'without venv'],
)
def test_a_python_that_does_not_do_is_one_sentence(make_with, tmp_path, lines):
    status, output = make_with('lint', *lines)
    assert status
    assert f'{tmp_path}/python is no Python 3.11 or later with its venv module' in output
    assert 'PYTHON=python3.12' in output
    assert 'Traceback' not in output and '-m venv' not in output


@pytest.mark.parametrize(
    'target,environment,installs,tests',
    [
        ('test', '.venv', f'-c constraints.txt -e .[{BOTH}]', '-m not slow'),
        ('test-slow', '.venv', f'-c constraints.txt -e .[{BOTH}]', '-m slow'),
        (
            'test-extras',
            '.venv-extras',
            f'-c constraints-extras.txt -e .[{BOTH},timm]',
            '',
        ),
    ],
)
def test_each_environment_is_made_once(make_with, target, environment, installs, tests):
    python = [
        f'case $1 in -c) {PRETEND.format(sys.executable, "sys.version_info = (3, 11, 0)")};; esac',
        'case $2 in venv) mkdir -p $3/bin; cp $0 $3/bin/python;; esac',
        'echo CALLED "$@"',
    ]
    pytest_call = f'-m pytest -n 2 --dist loadfile --max-worker-restart 0 {tests}'.strip()
    expected = [f'-m venv {environment}', f'-m pip install {installs}', pytest_call]
    for calls in (expected, expected[-1:]):
        status, output = make_with(target, *python)
        assert not status, output
        lines = output.splitlines()
        assert [line[7:] for line in lines if line.startswith('CALLED ')] == calls


@pytest.mark.parametrize('failing', ['lint', 'test-extras', 'none'])
def test_ci_runs_all_and_fails_if_one_fails(tmp_path, failing):
    make = tmp_path / 'make'
    make.write_text(f'#!/bin/sh\necho "$@"; test "$1" != {failing}')
    make.chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    command = [str(ROOT / '.ci/run')]
    done = subprocess.run(command, env={**os.environ, 'PATH': path}, capture_output=True, text=True)
    assert done.stdout.split() == ['lint', 'test', 'test-slow', 'test-extras']
    assert (done.returncode == 0) == (failing == 'none')
