from __future__ import annotations

import runpy
from pathlib import Path

import demo
import pytest


@pytest.fixture(autouse=True)
def work_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, 'WORK_DIR', tmp_path)


def script(tmp_path, *lines):
    path = tmp_path / 'tool.py'
    path.write_text('\n'.join(lines))
    return path


LOG = (
    'mmengine - INFO - a whole config',
    'mmengine - INFO - Iter(train) [ 50/600]  lr: 2.0e-02  eta: 0:01:50  time: 0.2  loss: 0.77',
    'mmengine - INFO - Iter(val) [100/100]    eta: 0:00:03  time: 0.04  data_time: 0.003',
    'mmengine - INFO - Iter(val) [100/100]    aAcc: 83.5600  mIoU: 20.1200',
)


def test_the_screen_shows_command_and_progress_and_the_log_everything(tmp_path, capsys):
    tool = script(tmp_path, f'for line in {LOG!r}: print(line)')
    demo.call('training', tool, '--flag', 7)
    first, *progress = capsys.readouterr().out.splitlines()
    assert first.endswith(f'{tool} --flag 7')
    assert progress == ['  train 50/600, 0:01:50 left, loss: 0.77', '  val 100/100, 0:00:03 left']
    assert (tmp_path / 'training.log').read_text().splitlines() == list(LOG)


def test_a_failing_command_is_named_with_its_last_words(tmp_path):
    tool = script(tmp_path, 'import sys', 'print("so far so good", flush=True)', 'sys.exit("oops")')
    with pytest.raises(SystemExit) as stop:
        demo.call('training', tool)
    message = str(stop.value)
    assert 'so far so good\noops' in message
    assert 'exit code 1' in message and str(tool) in message
    assert str(tmp_path / 'training.log') in message


def test_steps_are_numbered_and_timed(capsys):
    seconds = {}
    for name in 'ab':
        with demo.step(name, f'Headline {name}', seconds):
            pass
    assert list(seconds) == ['a', 'b']
    printed = capsys.readouterr().out
    assert '[1/5] Headline a' in printed and '[2/5] Headline b' in printed


def test_a_step_that_cannot_go_on_says_so_in_one_sentence():
    with pytest.raises(SystemExit, match='Failed: no room'), demo.step('a', 'A', {}):
        raise OSError('no room')


def test_asking_for_help_starts_nothing(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['demo.py', '--help'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(Path(__file__).parents[2] / 'tools/demo.py'), run_name='__main__')
    assert stop.value.code == 0
    assert 'work_dirs/demo' in capsys.readouterr().out
