"""The command line, on a stand-in for ``tools/train.py``; tests/tools has the real one."""

from __future__ import annotations

import pytest
from chaos_soak.cli import main


@pytest.fixture
def chaos(checkout, tmp_path):
    """``chaos()`` runs it in ``tmp_path / 'chaos'``."""
    return lambda *flags: main(checkout, ['--work-dir', str(tmp_path / 'chaos'), *flags])


def test_equal_weights_are_a_success_and_the_report_says_so(chaos, tmp_path, capsys):
    chaos('--kills', '2', '--iterations', '60')
    text = (tmp_path / 'chaos/report.md').read_text()
    assert '2 faults. 2 were kills' in text and '**yes**' in text
    shown = capsys.readouterr().out
    assert text in shown
    assert 'undisturbed: 60 of 60, took' in shown and '2 of 2 faults: 60 of 60, took' in shown


def test_other_weights_are_named_and_the_status_is_1(chaos, monkeypatch, capsys):
    monkeypatch.setenv('FAULT', 'other weights')
    with pytest.raises(SystemExit) as end:
        chaos('--kills', '1', '--iterations', '60')
    assert '**no**, 1 differ, such as state_dict.weight.' in end.value.code
    assert end.value.code in capsys.readouterr().out, 'in the report, too'


def test_one_that_cannot_go_on_is_reported_with_the_status_1(
    chaos, monkeypatch, capsys, table_cells
):
    monkeypatch.setenv('FAULT', 'starts afresh')
    with pytest.raises(SystemExit, match='went on with iteration 1'):
        chaos('--kills', '1', '--iterations', '60', '--seed', '1')
    assert table_cells(capsys.readouterr().out)[1][1:] == ['1', '0', '-', '-']


def test_a_folder_with_something_in_it_is_left_alone(chaos, tmp_path, capsys):
    (tmp_path / 'chaos').mkdir()
    (tmp_path / 'chaos/mine').touch()
    with pytest.raises(SystemExit):
        chaos()
    assert 'chaos is not empty: remove it or name another one' in capsys.readouterr().err


def test_a_plan_that_does_not_fit_is_refused(chaos, tmp_path, capsys):
    with pytest.raises(SystemExit):
        chaos('--iterations', '100')
    assert '30 kills need at least 290 iterations, got 100' in capsys.readouterr().err
    assert not (tmp_path / 'chaos').exists()
