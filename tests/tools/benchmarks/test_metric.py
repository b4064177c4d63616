from __future__ import annotations

import argparse

import pytest
from benchmarks import metric


def test_a_row_for_each_size(monkeypatch, table_cells):
    monkeypatch.setattr(metric, 'SIZES', [(3, 20, 30), (5, 40, 40)])
    parser = argparse.ArgumentParser()
    metric.add_arguments(parser)
    _, *rows = table_cells(metric.run(parser.parse_args(['--rounds', '2'])))
    assert [row[0] for row in rows] == ['3, 20x30', '5, 40x40']


def test_what_is_timed_gives_the_same_scores():
    sample = metric.data_sample(4, 30, 40)
    stock, ours, with_trimap = metric.metrics(4)
    for variant in (stock, ours, with_trimap):
        variant.process({}, [sample])
    expected, found, more = (variant.evaluate(1) for variant in (stock, ours, with_trimap))
    for name in ('aAcc', 'mIoU', 'mAcc'):
        assert found[name] == pytest.approx(expected[name], abs=0.011)
    assert more['mIoU_trimap5'] != found['mIoU']
