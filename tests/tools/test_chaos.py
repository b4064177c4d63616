"""The short form of the long test: a real training, killed, its newest checkpoint truncated."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / 'tools/chaos.py'


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_the_undisturbed_one(
    tmp_path, monkeypatch, table_cells
):
    line = ['chaos.py', '--kills', '2', '--iterations', '58', '--work-dir', f'{tmp_path}/run']
    monkeypatch.setattr('sys.argv', line)
    runpy.run_path(str(CHAOS), run_name='__main__')  # in here: importing takes long
    report = (tmp_path / 'run/report.md').read_text()
    assert '2 faults. 2 were kills' in report
    rows = {name: cells for name, *cells in table_cells(report)}
    assert rows['newest checkpoint truncated before the resume'][:2] == ['1', '1']
    assert rows['all kills'][:2] == ['2', '2']
    assert 'bit by bit: **yes**' in report
