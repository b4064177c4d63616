"""Calling the tools, with a script in place of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from paper_tables import train_evaluate
from paper_tables.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Writer of what runs in place of Python; its arguments are the tool and the tool's own."""

    def write(*lines):
        script = tmp_path / 'interpreter.sh'
        script.write_text('\n'.join(['#!/bin/sh', *lines]))
        script.chmod(0o755)
        monkeypatch.setattr(train_evaluate.sys, 'executable', str(script))

    return write


def test_training_is_called_to_resume(interpreter, tmp_path):
    interpreter('echo "$@"')
    train_evaluate.train(tmp_path / 'config.py', tmp_path)
    tool, *argv = (tmp_path / 'train.log').read_text().split()
    assert Path(tool).samefile(ROOT / 'tools/train.py')
    assert argv == [f'{tmp_path}/config.py', '--work-dir', f'{tmp_path}/training', '--resume']


@pytest.mark.parametrize('augmented', [False, True])
def test_evaluation_reads_the_newest_result(interpreter, tmp_path, augmented):
    old = tmp_path / 'evaluation' / '2020' / '2020.json'
    old.parent.mkdir(parents=True)
    old.write_text('{"mIoU": 1.0}')
    new = tmp_path / 'evaluation' / '2030'
    written = f'mkdir {new}; echo \'{{"mIoU": 12.5}}\' > {new}/2030.json'
    interpreter('echo "$@"', written)
    assert train_evaluate.evaluate(tmp_path / 'config.py', 'w.pth', tmp_path, augmented) == 12.5
    tool, *argv = (tmp_path / 'test.log').read_text().split()
    assert Path(tool).samefile(ROOT / 'tools/test.py')
    assert argv[:2] == [f'{tmp_path}/config.py', 'w.pth']
    assert ('--tta' in argv) == augmented


def test_only_a_checkpoint_of_the_last_iteration_is_a_finished_training(tmp_path):
    training = tmp_path / 'training'
    assert train_evaluate.finished_checkpoint(tmp_path, 5) is None
    training.mkdir()
    (training / 'iter_4.pth').touch()
    (training / 'last_checkpoint').write_text('iter_4.pth')
    assert train_evaluate.finished_checkpoint(tmp_path, 5) is None
    assert train_evaluate.finished_checkpoint(tmp_path, 4) == str(training / 'iter_4.pth')


def _heed_sigint_and_run(argv):
    # a shell starts background jobs, such as a whole test run, with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(argv)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_ends_its_training(interpreter, tmp_path, number):
    interpreter('echo $$', 'exec sleep 100')
    argv = ['run', 'table5/mg111', '--dataset', 'shapes', '--work-dir', str(tmp_path)]
    run = multiprocessing.get_context('fork').Process(target=_heed_sigint_and_run, args=(argv,))
    run.start()
    log, end = tmp_path / 'table5/mg111/seed0/train.log', time.monotonic() + 60
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(run.pid, number)
    run.join(60)
    assert run.exitcode not in (0, None)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)
