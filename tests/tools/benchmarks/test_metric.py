from __future__ import annotations

import argparse

import pytest
import torch
from benchmarks import metric


@pytest.fixture(autouse=True)
def threads():
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


def test_a_row_for_each_size(monkeypatch):
    monkeypatch.setattr(metric, 'SIZES', [(3, 20, 30), (5, 40, 40)])
    parser = argparse.ArgumentParser()
    metric.add_arguments(parser)
    table = metric.run(parser.parse_args(['--rounds', '2'])).splitlines()
    assert len(table) == 2 + 2
    assert table[2].startswith('| 3, 20x30 |') and table[3].startswith('| 5, 40x40 |')
    assert len({row.count('|') for row in table}) == 1


def test_what_is_timed_gives_the_same_scores():
    sample = metric.data_sample(4, 30, 40)
    stock, ours, with_trimap = metric.metrics(4)
    for variant in (stock, ours, with_trimap):
        variant.process({}, [sample])
    expected, found, more = (variant.evaluate(1) for variant in (stock, ours, with_trimap))
    for name in ('aAcc', 'mIoU', 'mAcc'):
        assert found[name] == pytest.approx(expected[name], abs=0.011)
    assert more['mIoU_trimap5'] != found['mIoU']
