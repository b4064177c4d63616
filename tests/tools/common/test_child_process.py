from __future__ import annotations

import os
import signal
import sys

import pytest
from common import child_process
from common.child_process import run_child


@pytest.fixture
def log(tmp_path):
    return tmp_path / 'tool.log'


def run(code, log, show=lambda progress: None):
    return run_child([sys.executable, '-c', code], log, show)


LINES = (
    'mmengine - INFO - a whole config',
    'mmengine - INFO - Iter(train) [ 50/600]  lr: 2.0e-02  eta: 0:01:50  time: 0.2  loss: 0.77',
    'mmengine - INFO - Iter(val) [100/100]    eta: 0:00:03  time: 0.04  data_time: 0.003',
    'mmengine - INFO - Iter(val) [100/100]    aAcc: 83.5600  mIoU: 20.1200',
    'mmengine - INFO - Images(test) [  2/101]  eta: 0:09:54  6.000 s per image',
)


def test_output_goes_to_the_log_and_progress_is_shown(log):
    log.write_text('before\n')
    shown = []
    status, last = run(f'for line in {LINES!r}: print(line)', log, shown.append)
    assert status == 0
    assert log.read_text().splitlines() == ['before', *LINES]
    assert last.splitlines() == list(LINES)
    assert [progress.groups() for progress in shown] == [
        ('train', '50/600', '0:01:50', 'loss: 0.77'),
        ('val', '100/100', '0:00:03', None),
        ('test', '2/101', '0:09:54', None),
    ]


def test_exit_code_and_last_lines_of_both_streams(log):
    status, last = run(
        'import sys; [print(i, flush=True) for i in range(30)]; sys.exit("oops")', log
    )
    assert status == 1
    assert last.splitlines() == [*map(str, range(16, 30)), 'oops']


STUBBORN = 'trap "echo saving; exit" TERM', 'trap "" TERM'


@pytest.mark.parametrize('trap', STUBBORN)
def test_a_child_ends_with_its_parent(trap, log, monkeypatch):
    """At the first progress, the parent gets SIGTERM; it waits for the child, but not for ever."""
    monkeypatch.setattr(child_process, '_GRACE_SECONDS', 5 if 'saving' in trap else 0.2)
    handler = signal.getsignal(signal.SIGTERM)
    line = 'echo "Iter(train) [1/2] eta: 0:00:01"'
    # a shell handles a signal between two of its commands
    command = ['sh', '-c', f'{trap}; echo $$; {line}; while :; do sleep 0.05; done']
    with pytest.raises(SystemExit) as stop:
        run_child(command, log, lambda progress: os.kill(os.getpid(), signal.SIGTERM))
    assert stop.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler
    pid, _, *rest = log.read_text().splitlines()
    assert rest == (['saving'] if 'saving' in trap else [])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
