import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from mmseg_deeplabv3x.evaluation.boundary_iou import RELATIVE_WIDTH, boundary_areas, trimap


def band(mask, width):
    """Pixels of a mask at most ``width`` chessboard steps from what is outside, by distances."""
    distance = distance_transform_cdt(np.pad(mask, 1), 'chessboard')[1:-1, 1:-1]
    return mask & (distance <= width)


@pytest.mark.parametrize('seed', range(5))
def test_areas_are_those_of_bands_by_distance(seed):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.integers(0, 3, (2, 10, 14), dtype=np.uint8).repeat(9, 1).repeat(8, 2)
    labels[rng.random(labels.shape) < 0.02] = 255
    width = round(RELATIVE_WIDTH * np.hypot(*labels.shape))
    assert width > 1
    right, predicted, labelled = boundary_areas(labels, predictions, 4)
    for number in range(4):
        truth = band(labels == number, width)
        found = band(predictions == number, width) & (labels != 255)
        assert (truth & found).sum() == right[number]
        assert (truth.sum(), found.sum()) == (labelled[number], predicted[number])


def test_a_shifted_outline_costs_more_than_in_iou():
    labels, predictions = np.zeros((2, 200, 200), np.uint8)
    labels[50:150, 50:150] = 1
    predictions[54:154, 54:154] = 1
    right, predicted, labelled = boundary_areas(labels, predictions, 2)[:, 1]
    both = (labels & predictions).sum()
    iou = both / ((labels | predictions).sum())
    assert right / (predicted + labelled - right) < 0.5 < iou


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_pixels_with_another_label_within_the_width(seed, width):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.uint8([0, 0, 0, 0, 0, 0, 7, 255]), (9, 12))
    expected = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(labels.shape):
        near = labels[max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1]
        expected[y, x] = (near != labels[y, x]).any()
    assert np.array_equal(trimap(labels, width), expected)


def test_one_label_has_no_boundary():
    assert not trimap(np.full((5, 5), 255, np.uint8), 3).any()
    assert not trimap(np.zeros((5, 5), np.uint8), 3).any()
