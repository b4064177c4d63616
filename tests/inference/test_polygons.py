"""Polygons, filled by pycocotools or by a test of every pixel's centre, are the region again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from pycocotools import mask as coco

from mmseg_deeplabv3x.inference.polygons import polygons


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


def test_an_empty_region_has_none():
    assert polygons(np.zeros((5, 5), bool)) == []
