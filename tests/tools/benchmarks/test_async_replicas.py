"""async_replicas: the measured run, and the model of it, on known draws."""

import argparse
import json

import pytest
from benchmarks import async_replicas


def arguments(*argv):
    parser = argparse.ArgumentParser()
    async_replicas.add_arguments(parser)
    return parser.parse_args([*map(str, argv)])


def model(number, draws, steps=8, transfer=0.0, own=0.0):
    return async_replicas._model(arguments('--steps', steps), number, draws, transfer, own)


def test_the_model_of_equal_replicas():
    seconds, ages = model(1, [[1.0] * 9], transfer=0.25, own=0.5)
    assert seconds == pytest.approx(8 * 1.75) and ages == [0] * 8
    seconds, ages = model(4, [[1.0] * 9] * 4)
    assert seconds == pytest.approx(2.0) and ages == [0, 1, 2, 3, 3, 3, 3, 3]


def test_the_model_where_the_holder_is_the_limit():
    seconds, _ = model(4, [[1.0] * 9] * 4, own=1.0)
    assert seconds == pytest.approx(1.0 + 8 * 1.0), 'a gradient after the other'


def test_a_slow_replica_holds_nobody_up_in_the_model():
    seconds, ages = model(2, [[1.0] * 9, [6.5] * 9])
    assert seconds == pytest.approx(7.0) and max(ages) == 6


def test_one_draw_for_all_runs():
    args = arguments('--replicas', 1, '--model', 4)
    plain, straggling = (async_replicas._draws(args, flag) for flag in (False, True))
    assert plain == async_replicas._draws(args, False) and len(plain) == 4
    ratios = {round(b / a, 6) for p, s in zip(plain, straggling) for a, b in zip(p, s)}
    assert ratios == {1.0, async_replicas.STRAGGLER}


@pytest.mark.slow
def test_measured_and_modelled_side_by_side(tmp_path, table_cells):
    path = tmp_path / 'a.json'
    small = ('--parameters', 1e5, '--seconds', 0.5, '--steps', 8, '--json', path)
    text = async_replicas.run(arguments('--replicas', 1, 2, '--model', 4, *small))
    titles, *rows = table_cells(text)
    assert [row[0] for row in rows[:3]] == ['1', '2', '4'] and titles[0] == 'replicas'
    assert [row[2] for row in rows[:1]] == ['1.00'] and rows[2][1] == ''
    record = json.loads(path.read_text())
    assert record[0]['measured']['ages'] == [0] * 8
    assert len(record[1]['measured']['ages']) == 8 and max(record[1]['measured']['ages']) > 0
