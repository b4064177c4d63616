"""Each fault of a pair of files is a problem of its kind."""

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.data_check.sample import check_sample
from mmseg_deeplabv3x.data_check.splits import load_splits


def check(data, **changes):
    split = load_splits(data.config(data.dataset('train', **changes)))[0]
    return check_sample(split, split.infos[2])


def test_nothing_wrong(data):
    found = check(data)
    assert found.problems == []
    assert found.pixels.tolist() == [102, 0, 6, 0] and found.ignored == 12


FAULTS = {
    'missing': lambda data: data.image(2).unlink(),
    'empty': lambda data: data.image(2).write_bytes(b''),
    'truncated': lambda data: data.image(2).write_bytes(data.image(2).read_bytes()[:-9]),
    'unreadable': lambda data: data.image(2).write_text('Not Found'),
    'size': lambda data: data.write_mask(2, np.zeros((12, 10), np.uint8)),
    'ids': lambda data: data.write_mask(2, np.full((10, 12), 4, np.uint8)),
    'RGB mask': lambda data: Image.new('RGB', (12, 10)).save(data.mask(2)),
    'all ignored': lambda data: data.write_mask(2, np.full((10, 12), 255, np.uint8)),
}


@pytest.mark.parametrize('kind', FAULTS)
def test_fault(data, kind):
    FAULTS[kind](data)
    (found,), pixels, *_ = check(data)
    assert found.kind == kind and found.split == 'train'
    assert found.info['img_path'] == str(data.image(2))
    assert found.file in (str(data.image(2)), str(data.mask(2)))
    assert found.file in found.message
    if kind in ('size', 'ids', 'RGB mask', 'all ignored'):
        assert found.file == str(data.mask(2)) and not pixels.any()
    else:  # the mask was checked all the same
        assert pixels.tolist() == [102, 0, 6, 0]


def test_both_files_may_be_bad(data):
    data.image(2).unlink()
    data.mask(2).write_bytes(b'')
    assert [found.kind for found in check(data).problems] == ['missing', 'empty']


def test_classes_are_counted_as_mmseg_maps_them(data):
    problems, pixels, *_ = check(data, reduce_zero_label=True)
    assert problems == [] and pixels.tolist() == [0, 6, 0, 0]


def test_a_split_without_masks(data):
    data.mask(2).unlink()
    problems, pixels, *_ = check(data, data_prefix=dict(img_path='images'))
    assert problems == [] and not pixels.any()
