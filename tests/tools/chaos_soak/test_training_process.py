from __future__ import annotations

import signal
import sys
import time

import pytest
from chaos_soak import training_process as module
from chaos_soak.training_process import ChaosError, TrainingProcess


@pytest.fixture
def run(tmp_path):
    """``run(code)`` runs a line of Python."""
    return lambda code: TrainingProcess([sys.executable, '-uc', code], tmp_path / 'log')


def test_its_progress_is_understood_and_logged(start, tmp_path):
    with start() as training:
        training.finish(print)
    assert (training.first, training.done) == (1, 90)
    assert list(training.seconds) == [*range(2, 91)]
    assert 0 < training.startup < training.age
    assert sum(training.seconds.values()) + training.startup <= training.age
    assert (tmp_path / 'run.log').read_text().count('Iter(train)') == 90


def test_an_iteration_that_is_told_again_took_its_time_all_the_same(run):
    told = ['Iter(train) [3/9] eta: 0:01 x', *['Iter(train) [4/9] eta: 0:01 x'] * 2]
    with run(f'import time; [print(line) or time.sleep(0.2) for line in {told}]') as training:
        training.finish(print)
    assert training.seconds[4] > 0.1


def test_a_kill_takes_the_group_and_what_was_said_before_is_heard(run, tmp_path):
    fork = (
        'import os, time; child = os.fork(); print("Iter(train) [3/9] eta: 0:01 x", flush=True); '
    )
    alive = f'time.sleep(1) or open(r"{tmp_path}/alive", "w")'
    with run(fork + alive) as training:
        training.wait_until(lambda: training.done)
        training.kill()
    time.sleep(1.2)
    assert not (tmp_path / 'alive').exists()


def test_one_that_ends_too_early_is_an_error_with_its_last_words(run, tmp_path):
    early = pytest.raises(ChaosError, match=r'bad luck\n.*ended with exit code 3; .*log\.')
    with run('print("bad luck"); raise SystemExit(3)') as training, early:
        training.wait_until(lambda: False)
    with run('raise SystemExit(4)') as training, pytest.raises(ChaosError, match='exit code 4'):
        training.finish(print)


def test_one_that_says_nothing_is_given_up(run, monkeypatch):
    monkeypatch.setattr(module, '_SILENT_SECONDS', 0.2)
    silent = pytest.raises(ChaosError, match='has said nothing for 0.2 s')
    with run('import time; time.sleep(60)') as training, silent:
        training.finish(print)
    assert training.age < 30


def test_sigterm_must_end_it_with_143_in_time(start, run, monkeypatch):
    with start() as training:
        training.wait_until(lambda: training.done > 3)
        training.end_as_slurm()
    killed = pytest.raises(ChaosError, match=f'SIGTERM: -{signal.SIGTERM:d}')
    with run('import time; time.sleep(60)') as training, killed:
        training.end_as_slurm()
    monkeypatch.setattr(module, '_KILL_WAIT_SECONDS', 0.2)
    deaf = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'
    with run(deaf) as training:
        time.sleep(0.5)
        with pytest.raises(ChaosError, match='within 0.2 s of SIGTERM: None'):
            training.end_as_slurm()


def test_a_full_disk_is_full_for_as_long_as_it_is_asked_for(run, tmp_path):
    code = f"""
import time
for i in range(1, 10000):
    time.sleep(0.01)
    try:
        with open(r'{tmp_path}/file', 'wb') as file:
            file.write(bytes(1000))
    except OSError as error:
        print('A checkpoint could not be written', error)
    print(f'Iter(train) [{{i}}/10000] eta: 0:01 x')
"""
    with run(code) as training:
        training.wait_until(lambda: training.done > 3)
        assert training.unsaved == 0
        with training.full_disk(500):
            training.wait_until(lambda: training.unsaved > 2)
        assert (tmp_path / 'file').stat().st_size <= 500
        training.wait_until(lambda: (tmp_path / 'file').stat().st_size == 1000)
    assert 'File too large' in (tmp_path / 'log').read_text()
