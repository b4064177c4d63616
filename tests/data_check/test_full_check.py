from __future__ import annotations

import numpy as np
from PIL import Image

from mmseg_deeplabv3x.data_check import check_data


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
