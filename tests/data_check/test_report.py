from __future__ import annotations

import json

import numpy as np
from PIL import Image

from mmseg_deeplabv3x.data_check import check_data
from mmseg_deeplabv3x.data_check.report import as_json, class_counts, text


def cells(written):
    """The rows of all tables."""
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in written.splitlines()]


def test_counts():
    rows = class_counts(('a', 'b', 'c'), np.array([[3, 0, 0], [2, 5, 0]]))
    assert rows == [
        {'class': 'a', 'pixels': 5, 'percent': 50.0, 'images': 2},
        {'class': 'b', 'pixels': 5, 'percent': 50.0, 'images': 1},
        {'class': 'c', 'pixels': 0, 'percent': 0.0, 'images': 0},
    ]


def test_text_of_good_data(data):
    written = text(check_data(data.config()))
    rows = cells(written)
    assert ['train', '8', '0'] in rows and ['val, test', '3', '0'] in rows
    assert ['road', '20', '2.31', '2'] in rows
    assert written.endswith('No problems.')


def test_text_shows_a_few_of_each_kind(data):
    for i in range(5):
        data.mask(i).unlink()
    data.image(6).write_bytes(b'')
    written = text(check_data(data.config()))
    assert 'Problems: 6' in written and 'missing (5)' in written and 'empty (1)' in written
    assert sum('does not exist' in line for line in written.splitlines()) == 3
    assert '  and 2 more' in written
    assert ['train', '8', '6'] in cells(written)


def test_rare_classes_are_ready_to_paste(data):
    labels = np.repeat(np.uint8([0, 1, 2, 3]), [50, 40, 29, 1]).reshape(10, 12)
    for i in range(8):
        data.write_mask(i, labels)
    assert "  hard_classes=['pole']" in text(check_data(data.config()))


def test_json_has_everything(data):
    content = json.loads(as_json(check_data(data.config())))
    assert content['ok'] is True and content['problems'] == []
    assert [(s['name'], s['images']) for s in content['splits']] == [('train', 8), ('val, test', 3)]
    for i in range(5):
        data.mask(i).unlink()
    content = json.loads(as_json(check_data(data.config())))
    assert content['ok'] is False
    assert [p['file'] for p in content['problems']] == [str(data.mask(i)) for i in range(5)]
    assert set(content['problems'][0]) == {'split', 'kind', 'file', 'message'}


# ---- what is found


def test_good_data(data):
    report = check_data(data.config())
    assert report.problems == []
    for numbers, pixels in zip((range(8), range(8, 11)), report.pixels):
        expected = [
            np.bincount(np.array(Image.open(data.mask(i))).ravel(), minlength=256)[:4]
            for i in numbers
        ]
        assert np.array_equal(pixels, expected)


def test_problems_of_all_splits(data):
    data.write_list('train', [*range(8), 9])
    data.image(9).write_bytes(b'')
    data.mask(3).unlink()
    found = {(p.split, p.kind) for p in check_data(data.config()).problems}
    assert found == {
        ('train', 'missing'),
        ('train', 'empty'),
        ('val, test', 'empty'),
        ('val, test', 'shared'),
    }


def test_rare_classes(data):
    for i in range(8):
        labels = np.repeat(np.uint8([0, 1, 2, 3]), [50, 40, 29, 1]).reshape(10, 12)
        data.write_mask(i, labels)
    assert check_data(data.config()).rare_classes() == ['pole']
    for i in range(8):
        data.write_mask(i, np.resize(np.uint8([0, 1]), (10, 12)))
    assert check_data(data.config()).rare_classes() == []  # what is nowhere cannot be repeated


def test_nothing_to_read(data):
    data.write_list('train', [])
    data.write_list('val', [])
    report = check_data(data.config())
    assert [p.kind for p in report.problems] == ['empty split'] * 2
    assert report.rare_classes() == []
