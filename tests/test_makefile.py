"""The Makefile's check of the interpreter; no environment is made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make_with(tmp_path):
    """Runs ``make lint`` with a script in place of Python; gives its exit code and output."""
    for name in ('Makefile', 'setup.cfg', 'pyproject.toml', 'constraints.txt'):
        shutil.copy(ROOT / name, tmp_path)

    def run(*lines):
        python = tmp_path / 'python'
        python.write_text('\n'.join(['#!/bin/sh', *lines]))
        python.chmod(0o755)
        command = ['make', '-C', str(tmp_path), 'lint', f'PYTHON={python}']
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
    status, output = make_with(*lines)
    assert status
    assert f'{tmp_path}/python is no Python 3.11 or later with its venv module' in output
    assert 'PYTHON=python3.12' in output
    assert 'Traceback' not in output and '-m venv' not in output


def test_a_python_that_does_makes_the_environment(make_with):
    status, output = make_with(
        f'case $1 in -c) {PRETEND.format(sys.executable, "sys.version_info = (3, 11, 0)")};; esac',
        'echo called with "$@"; exit 3',
    )
    assert status
    assert 'called with -m venv .venv' in output and 'is no Python' not in output
