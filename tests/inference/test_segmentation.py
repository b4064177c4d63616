from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.inference import Segmentation

IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
MASK = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [2] * 5, [2] * 5], np.uint8)


@pytest.fixture
def result():
    return Segmentation(MASK, ('sky', 'tree', 'road'), [[1, 2, 3], [40, 50, 60], [7, 8, 9]], IMAGE)


def test_shares_are_those_of_the_pixels(result):
    assert result.shares() == dict(sky=4 / 20, tree=6 / 20, road=10 / 20)


def test_overlay_goes_from_the_image_to_the_colours(result):
    assert (result.overlay(0) == IMAGE).all()
    assert (result.overlay(1) == result.colours()).all()
    assert result.overlay(0.5)[0, 2].tolist() == [(6 + 40) // 2, round(57 / 2), (8 + 60) // 2]


def test_the_saved_mask_has_ids_and_palette(result, tmp_path):
    result.save(tmp_path / 'mask.png')
    with Image.open(tmp_path / 'mask.png') as picture:
        assert picture.mode == 'P' and (np.asarray(picture) == MASK).all()
        assert (np.asarray(picture.convert('RGB')) == result.colours()).all()


def test_more_than_256_classes_are_saved_in_16_bit(tmp_path):
    mask = np.array([[0, 300], [999, 256]], np.uint16)
    names = [str(i) for i in range(1000)]
    Segmentation(mask, names, [[0, 0, 0]] * 1000, IMAGE).save(tmp_path / 'mask.png')
    with Image.open(tmp_path / 'mask.png') as picture:
        assert (np.asarray(picture) == mask).all()


def test_polygons_name_their_class(result):
    found = {part['category_id']: part['area'] for part in result.polygons()}
    assert found == {0: 4, 1: 6, 2: 10}
