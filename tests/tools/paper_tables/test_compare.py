"""Published beside measured."""

from __future__ import annotations

import json

import pytest
from paper_tables.compare import compare
from PIL import Image


@pytest.fixture
def work_dir(tmp_path):
    measured = {
        'table5/mg111': {0: 40.0, 1: 42.0},
        'table5/mg124-pool': {0: 43.0, 1: 47.0},
        'table9/batch4': {0: 20.0},
    }
    for row, seeds in measured.items():
        for seed, miou in seeds.items():
            folder = tmp_path / row / f'seed{seed}'
            folder.mkdir(parents=True)
            record = dict(row=row, seed=seed, miou=miou, dataset='camvid', iters=9, options={})
            (folder / 'result.json').write_text(json.dumps(record))
    return tmp_path


def test_means_spreads_and_differences(work_dir):
    compare(str(work_dir))
    lines = {line['row']: line for line in json.loads((work_dir / 'comparison.json').read_text())}
    best = lines['table5/mg124-pool']
    assert best['measured'] == 45.0 and best['spread'] == 2.83  # sqrt(8)
    assert best['difference'] == 4.0 and best['difference_spread'] == 1.41  # of 3 and 5
    assert best['published_difference'] == 1.85 and best['seeds'] == [0, 1]
    alone = lines['table9/batch4']
    assert alone['spread'] is None and alone['difference'] is None
    assert alone['published_difference'] == -12.78


def test_markdown_has_all_that_was_run_and_names_what_was_not(work_dir, table_cells):
    text = compare(str(work_dir))
    assert text == (work_dir / 'comparison.md').read_text()
    change = 'Multi_Grid (1, 2, 4), ASPP (6, 12, 18), image pooling'
    rows = {name: cells for name, *cells in table_cells(text)}
    best = [change, '77.21', '45.00 ± 2.83', '2', '+1.85', '+4.00 ± 1.41']
    assert rows['table5/mg124-pool'] == best
    small = ['64.43', '20.00', '1', '-12.78', 'reference not run']
    assert rows['table9/batch4'][1:] == small
    assert 'Not run: table9/batch8, table9/batch12, table9/batch16.' in text
    assert 'All rows: data camvid, iterations 9.' in text


def test_settings_are_told_where_they_differ(work_dir):
    for path in work_dir.glob('table5/*/seed*/result.json'):
        options = {'a.b': '1', 'c': '(2, 3)' if 'pool' in str(path) else '4'}
        path.write_text(json.dumps({**json.loads(path.read_text()), 'options': options}))
    text = compare(str(work_dir))
    assert 'All rows: data camvid, iterations 9.' in text
    assert (
        'Reference: table5/mg111. `a.b=1`, `c=4` (table5/mg111). `a.b=1`, `c=(2, 3)` '
        '(table5/mg124-pool).' in text
    )


def test_picture_is_whole_and_nothing_is_left_aside(work_dir):
    compare(str(work_dir))
    with Image.open(work_dir / 'comparison.png') as picture:
        picture.load()
        assert picture.width > 500
    assert sorted(p.name for p in work_dir.glob('comparison*')) == [
        'comparison.json',
        'comparison.md',
        'comparison.png',
    ]


def test_an_empty_folder_is_answered_with_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no result .*run" makes them'):
        compare(str(tmp_path))
