from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from common import child_process
from common.child_process import ChildProcess, CommandError, run_command


@pytest.fixture
def log(tmp_path):
    return tmp_path / 'tool.log'


def run(code, log, **options):
    run_command([sys.executable, '-c', code], log, **options)


LINES = (
    'mmengine - INFO - a whole config',
    'mmengine - INFO - Iter(train) [ 50/600]  lr: 2.0e-02  eta: 0:01:50  time: 0.2  loss: 0.77',
    'mmengine - INFO - Iter(train) [100/600]  lr: 2.0e-02  eta: 0:01:40  time: 0.2  loss: 0.75',
    'mmengine - INFO - Iter(val) [100/100]    eta: 0:00:03  time: 0.04  data_time: 0.003',
    'mmengine - INFO - Iter(val) [100/100]    aAcc: 83.5600  mIoU: 20.1200',
    'mmengine - INFO - Images(test) [  2/101]  eta: 0:09:54  6.000 s per image',
)


def test_output_goes_to_the_log_and_progress_is_shown(log, capsys):
    log.write_text('before\n')
    run(f'for line in {LINES!r}: print(line)', log)
    assert log.read_text().splitlines() == ['before', *LINES]
    assert [line.split(', took')[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        'train, loss: 0.75: 100 of 600',
        'val: 100 of 100',
        'test: 2 of 101',
    ]


def test_progress_is_redrawn_on_a_terminal_and_can_be_left_out(log, capsys, monkeypatch):
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    monkeypatch.setattr('mmseg_deeplabv3x.progress.REDRAW_SECONDS', 0)
    run(f'for line in {LINES!r}: print(line)', log)
    assert '\r    train, loss: 0.75: 100 of 600' in capsys.readouterr().out
    run(f'for line in {LINES!r}: print(line)', log, show=False)
    assert capsys.readouterr().out == ''


def test_a_failure_tells_the_exit_code_and_the_last_lines_of_both_streams(log):
    code = 'import sys; [print(f"line {i}", flush=True) for i in range(30)]; sys.exit("oops")'
    with pytest.raises(CommandError) as error:
        run(code, log)
    *last, end = str(error.value).splitlines()
    assert last == [*(f'line {i}' for i in range(16, 30)), 'oops']
    assert end == f'Exit code 1; the whole output is in {log}.'


def test_all_of_a_long_output_is_kept_and_a_last_line_without_its_end(log):
    run('import sys; [print("x" * 1000) for _ in range(1000)]; sys.stdout.write("the end")', log)
    *lines, last = log.read_text().splitlines()
    assert lines == ['x' * 1000] * 1000 and last == 'the end'
    with ChildProcess(['printf', 'no newline'], log) as child:
        while child.status() is None:
            time.sleep(0.01)
        assert child.read() == list(child.last) == ['no newline']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize('trap', ['trap "echo saving; exit" TERM', 'trap "" TERM'])
def test_a_child_ends_with_its_parent(trap, number, log, monkeypatch):
    """The parent is told to end; it waits for the child, but not for ever."""
    monkeypatch.setattr(child_process, '_GRACE_SECONDS', 5 if 'saving' in trap else 0.2)
    # a shell starts background jobs, such as a whole test run, with SIGINT ignored
    before = signal.signal(number, signal.default_int_handler)
    # a shell handles a signal between two of its commands
    told = f'kill -{number:d} {os.getpid()}'
    command = ['sh', '-c', f'{trap}; echo $$; {told}; while :; do sleep 0.05; done']
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)) as stop:
            run_command(command, log)
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert isinstance(stop.value, KeyboardInterrupt) or stop.value.code == 128 + number
    assert isinstance(stop.value, KeyboardInterrupt) == (number == signal.SIGINT)
    pid, *rest = log.read_text().splitlines()
    assert rest == (['saving'] if 'saving' in trap else [])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_told_to_end_twice_it_does_not_wait(log):
    told = f'kill -15 {os.getpid()}'
    command = ['sh', '-c', f'trap "{told}" TERM; {told}; while :; do sleep 0.05; done']
    began = time.monotonic()
    with pytest.raises(SystemExit):
        run_command(command, log)
    assert time.monotonic() - began < 30, 'a minute is the grace of one that is told once'


def test_a_command_that_is_not_there_leaves_the_signals_as_they_were(log):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(FileNotFoundError, match='no-such-program'):
        run_command(['no-such-program'], log)
    assert signal.getsignal(signal.SIGTERM) == before


def test_under_nohup_a_closed_terminal_ends_nothing(log):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_command(['sh', '-c', f'kill -HUP {os.getpid()}; sleep 0.1; echo done'], log)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert log.read_text() == 'done\n'


def test_what_the_child_started_is_killed_with_it(log, tmp_path):
    code = (
        'import os, time; child = os.fork(); print(child, flush=True); '
        f'time.sleep(1) or open(r"{tmp_path}/alive", "w")'
    )
    with ChildProcess([sys.executable, '-c', code], log) as child:
        while not child.read():
            time.sleep(0.01)
    time.sleep(1.2)
    assert not (tmp_path / 'alive').exists()
