"""Every variant is timed once a round, and the table says by how much it is faster."""

import argparse
import json

import pytest
import torch
from benchmarks import interleaved
from PIL import Image


@pytest.fixture
def options():
    def options(*argv):
        parser = argparse.ArgumentParser()
        interleaved.add_arguments(parser)
        return parser.parse_args(argv)

    return options


def test_variants_take_turns_after_a_warm_up():
    order = []
    variants = {name: lambda name=name: order.append(name) for name in 'ab'}
    result = interleaved.compare('case', variants, 3)
    assert order == [*'ab'] * 4
    assert [len(variant['ms']) for variant in result['variants'].values()] == [3, 3]


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU, its memory is counted instead')
def test_memory_is_that_of_new_tensors():
    result = interleaved.compare('case', {'a': lambda: torch.zeros(2**18)}, 1)
    assert result['variants']['a']['mib'] == 1


def test_the_table_compares_within_rounds(options, tmp_path, monkeypatch, table_cells):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)  # there it has more digits
    variants = {
        'old': dict(ms=[10.0, 20.0, 60.0], mib=8.0),
        'new': dict(ms=[5.0, 5.0, 20.0], mib=None),
    }
    args = options('--json', str(tmp_path / 'a.json'), '--plot', str(tmp_path / 'a.png'))
    table = table_cells(interleaved.report([dict(case='sum', variants=variants)], args))
    assert table[1] == ['sum', 'old', '20 (10 to 60)', '1', '8']
    assert table[2] == ['sum', 'new', '5 (5 to 20)', '3.00 (2.00 to 4.00)', '-']
    record = json.loads((tmp_path / 'a.json').read_text())
    assert record['results'][0]['variants']['new']['ms'] == [5.0, 5.0, 20.0]
    assert record['device'] == interleaved.device()
    assert Image.open(tmp_path / 'a.png').size[0] > 100


def test_rates_are_those_of_the_median(options, table_cells):
    variants = {'old': dict(ms=[10.0, 20.0, 60.0], mib=8.0), 'new': dict(ms=[5.0], mib=1.0)}
    result = dict(
        case='sum', variants=variants, images=2, gflop=dict(old=3.0, new=2.0), peak_gflops=500.0
    )
    _, old, new = table_cells(interleaved.report([result], options()))
    assert old[4:] == ['8', '100.00', '150', '30%']
    assert new[4:] == ['1', '400.00', '400', '80%']
