"""The short form of the long test: a real training, killed, its newest checkpoint truncated."""

from __future__ import annotations

import runpy
from pathlib import Path

CHAOS = Path(__file__).parents[2] / 'tools/chaos.py'


def test_a_killed_training_ends_with_the_weights_of_the_undisturbed_one(tmp_path, monkeypatch):
    line = ['chaos.py', '--kills', '2', '--iterations', '58', '--work-dir', f'{tmp_path}/run']
    monkeypatch.setattr('sys.argv', line)
    runpy.run_path(str(CHAOS), run_name='__main__')  # in here: importing takes long
    report = (tmp_path / 'run/report.md').read_text()
    assert '2 faults. 2 were kills' in report
    assert '| newest checkpoint truncated before the resume | 1 | 1 |' in report
    assert '| all kills | 2 | 2 |' in report
    assert 'bit by bit: **yes**' in report
