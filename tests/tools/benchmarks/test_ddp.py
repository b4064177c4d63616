"""ddp: two processes take steps alone, side by side and together, and the table compares them."""

from __future__ import annotations

import argparse
import json
import math
import re

import pytest
from benchmarks import ddp


@pytest.fixture(scope='module')
def measured(tiny_config, tmp_path_factory):
    """The text and the record."""
    path = tmp_path_factory.mktemp('ddp') / 'a.json'
    parser = argparse.ArgumentParser()
    ddp.add_arguments(parser)
    argv = [tiny_config('ddp'), '--crop', '33', '--rounds', '2', '--json', str(path)]
    return ddp.run(parser.parse_args(argv)), json.loads(path.read_text())


def test_each_variant_is_timed_in_every_round(measured):
    text, record = measured
    for name in ('ms', 'cpu_ms', 'mib'):
        assert {variant: len(values) for variant, values in record[name].items()} == dict.fromkeys(
            ddp.VARIANTS, 2
        )
    assert all(value > 0 for values in record['ms'].values() for value in values)
    assert f'{record["parameters"] / 1e6:.1f} M parameters, 2x33x33 a process' in text


def test_the_table_compares_within_rounds(measured, table_cells):
    text, record = measured
    _, *rows = table_cells(text)
    assert [name for name, *_ in rows] == list(ddp.VARIANTS)
    for name, _, _, images, *efficiencies, _ in rows:
        seconds = sum(record['ms'][name]) / 2e3
        processes = 1 if name == ddp.ALONE else 2
        assert float(images) == pytest.approx(processes * 2 / seconds, abs=0.01)
        for times, efficiency in zip((record['ms'], record['cpu_ms']), efficiencies):
            ratios = [one / this for one, this in zip(times[ddp.ALONE], times[name])]
            assert float(efficiency.split()[0]) == pytest.approx(sum(ratios) / 2, abs=0.01)


def test_the_share_of_the_exchange():
    variants = zip(ddp.VARIANTS, ([8.0, 8.0], [9.0, 6.0], [10.0, 10.0], [10.0, 10.0]))
    times = dict(variants)
    result = dict(parameters=10**6, ms=times, cpu_ms=times, mib=times)
    text = ddp._table(result, argparse.Namespace(batch=2, crop=33, threads=1))
    share = r'25 \(10 to 40\) %'
    assert re.search(f'the exchange takes {share}, of its CPU time {share}', text)


def test_gradients_go_through_the_loopback_device(measured):
    """Other programs use it too: at least what the calculation says, 4 bytes a parameter, or 2."""
    _, record = measured
    size = record['parameters'] / 2**20
    if math.isnan(record['mib'][ddp.TOGETHER][0]):
        pytest.skip('this system has no counter of the loopback device')
    assert min(record['mib'][ddp.TOGETHER]) > 4 * size
    assert min(record['mib'][ddp.COMPRESSED]) > 2 * size
