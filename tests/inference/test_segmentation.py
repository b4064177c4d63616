from __future__ import annotations

import inspect
import sys

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image
from pycocotools import mask as coco

from mmseg_deeplabv3x.inference import Segmentation
from mmseg_deeplabv3x.inference.segmentation import polygons

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


# ---- polygons


def regions():
    rng = np.random.default_rng(0)
    ring = np.zeros((9, 12), bool)
    ring[1:8, 2:11] = True
    ring[3:6, 4:6] = ring[3:5, 8:9] = False
    island = ring.copy()
    island[4, 4] = True
    return {
        'one pixel': np.eye(1, dtype=bool),
        'all': np.ones((4, 5), bool),
        'diagonal': np.eye(6, dtype=bool),
        'two holes': ring,
        'island in a hole': island,
        'noise': rng.random((40, 50)) < 0.5,
        'blobs': cv2.GaussianBlur(rng.random((80, 60)), (0, 0), 4) > 0.5,
    }


@pytest.mark.parametrize('name', regions())
def test_the_centres_inside_are_the_pixels_of_the_region(name):
    region = regions()[name]
    y, x = np.indices(region.shape)
    centres = np.stack([x.ravel(), y.ravel()], 1) + 0.5
    filled = np.zeros(region.shape, int)
    for part in polygons(region):
        for outline in part['segmentation']:
            points = np.reshape(outline, (-1, 2))
            inside = Outline(np.vstack([points, points[:1]])).contains_points(centres)
            filled += inside.reshape(region.shape)
    assert (filled == region).all()


@pytest.mark.parametrize('name', ['all', 'two holes', 'island in a hole', 'blobs'])
def test_pycocotools_fills_them_to_nearly_the_same(name):
    region = regions()[name]
    parts = polygons(region)
    outlines = [outline for part in parts for outline in part['segmentation']]
    filled = coco.decode(coco.merge(coco.frPyObjects(outlines, *region.shape))).astype(bool)
    assert (filled == region).mean() > 0.97


@pytest.mark.parametrize('name', regions())
def test_area_and_box_are_those_of_each_part(name):
    region = regions()[name]
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    parts = polygons(region)
    assert len(parts) == count - 1
    expected = []
    for number in range(1, count):
        rows, columns = np.nonzero(labels == number)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        expected.append((len(rows), box))
    assert sorted((p['area'], p['bbox']) for p in parts) == sorted(expected)
    assert all(p['iscrowd'] == 0 for p in parts)


def test_many_holes_in_a_diagonal_do_not_nest(monkeypatch):
    region = np.ones((401, 401), bool)
    region[range(1, 400, 2), range(1, 400, 2)] = False
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 50)  # each level holds maps of the region
    try:
        (part,) = polygons(region)
    finally:
        sys.setrecursionlimit(limit)
    assert part['area'] == region.sum()


def test_an_empty_region_has_none():
    assert polygons(np.zeros((5, 5), bool)) == []
