from __future__ import annotations

import argparse

import pytest
import torch
from benchmarks import loss


@pytest.fixture
def run(monkeypatch, table_cells):
    """Rows of the table, without its header."""

    def run(sizes, *options):
        monkeypatch.setattr(loss, 'SIZES', sizes)
        monkeypatch.setattr(loss, 'DEVICE', 'cpu')
        parser = argparse.ArgumentParser()
        loss.add_arguments(parser)
        return table_cells(loss.run(parser.parse_args(['--rounds', '2', *options])))[1:]

    return run


def test_rows_for_each_size_with_and_without_accuracy(run):
    rows = run([(1, 3, 5, 33), (2, 4, 3, 9)])
    cases = '1x3x5² -> 33²', '2x4x3² -> 9²'
    expected = [case + more for case in cases for more in ('', ', with acc_seg')]
    assert [row[:2] for row in rows] == [
        [case, variant] for case in expected for variant in ('whole map', 'tiles')
    ]


def test_both_variants_give_the_same_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, 5), torch.randint(3, (2, 17, 17))
    labels[0] = loss.IGNORED
    for with_accuracy in (False, True):
        whole, tiles = (
            variant(logits, labels, with_accuracy) for variant in (loss._whole, loss._tiles)
        )
        assert torch.allclose(whole, tiles)
