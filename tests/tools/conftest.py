"""Running the tools as their users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


def environment(**changes) -> dict:
    """This process's environment, in which the scripts find this interpreter as `python`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    quiet = dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    return {**os.environ, 'PATH': path, **quiet, **changes}


@pytest.fixture(scope='session')
def run_tool():
    """Runner of one tool: ``run_tool('train.py', config, '--amp')`` gives all that it printed."""

    def run(tool, *args, status=0, **changes):
        interpreter = [sys.executable] if tool.endswith('.py') else ['bash']
        done = subprocess.run(
            [*interpreter, str(TOOLS / tool), *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**changes),
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope='session')
def table_cells():
    """``table_cells(text)`` gives the cells of the Markdown tables in a text, its titles first."""

    def cells(text):
        rows = [line.split('|')[1:-1] for line in text.splitlines() if line.startswith('|')]
        rows = [[cell.strip() for cell in row] for row in rows]
        return [row for row in rows if any(cell.strip('-') != ':' for cell in row)]

    return cells


@pytest.fixture(scope='session')
def in_one_process():
    """Runner of several command lines, one after the other in one process: importing takes long.

    ``in_one_process([('train.py', config), ('test.py', config, weights)])`` gives what each
    printed. A tool is a name in tools/ or a path.
    """
    script = """
import json, os, runpy, sys
for tool, *argv in json.loads(sys.argv[1]):
    sys.argv = [tool, *argv]
    runpy.run_path(tool, run_name='__main__')
    print('=' * 9, 'next', '=' * 9, flush=True)
"""

    def run(lines):
        lines = [[str(TOOLS / tool), *map(str, argv)] for tool, *argv in lines]
        done = subprocess.run(
            [sys.executable, '-c', script, json.dumps(lines)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.split('=' * 9 + ' next ' + '=' * 9)[:-1]

    return run
