from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.evaluation import IoUMetric

from mmseg_deeplabv3x.evaluation import confusion
from mmseg_deeplabv3x.evaluation.confusion import (
    class_iou,
    class_table,
    confusion_matrix,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 21))
def test_equals_the_iou_of_mmseg(seed, num_classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, (20, 30), dtype=np.uint8)
    predictions = np.where(rng.random((20, 30)) < 0.5, labels, labels[::-1])
    labels[rng.random((20, 30)) < 0.1] = 255
    areas = IoUMetric.intersect_and_union(
        torch.tensor(predictions), torch.tensor(labels), num_classes, 255
    )
    expected = IoUMetric.total_area_to_metrics(*areas)['IoU']
    found = class_iou(confusion_matrix(labels, predictions, num_classes))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ground_truth_is_down_and_prediction_across():
    matrix = confusion_matrix(np.array([0, 0, 1, 255]), np.array([0, 2, 2, 1]), 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ('labels', 'predictions', 'message'),
    [([0, 256], [0, 0], 'label 256'), ([-1, 0], [0, 0], 'label -1'), ([0], [3], 'prediction 3')],
)
def test_what_has_no_place_is_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=f'{message} is out of range, expected 0 to'):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


@pytest.mark.parametrize(
    'kind', [torch.int8, torch.int16, torch.int32, torch.int64, torch.float32, torch.bfloat16]
)
def test_any_kind_of_number_is_counted_and_checked(kind):
    """A head of one channel predicts 0 and 1 in the logits' kind."""
    ids = torch.tensor([[0, 1], [1, 1]])
    np.testing.assert_array_equal(confusion_matrix(ids, ids.to(kind), 2), [[1, 0], [0, 3]])
    for wrong in (2, -1):
        ids[1, 0] = wrong
        with pytest.raises(ValueError, match=f'prediction {wrong}(.0)? is out of range'):
            confusion_matrix(abs(ids), ids.to(kind), 2)


@pytest.mark.parametrize('kind', [np.array, torch.tensor])
def test_more_classes_than_bytes_hold(kind):
    assert confusion_matrix(kind([255]), kind([255]), 256)[255, 255] == 1
    matrix = confusion_matrix(kind([999, 3, 700, 999]), kind([999, 3, 699, 256]), 1000)
    assert matrix.shape == (1000, 1000)
    assert np.argwhere(matrix).tolist() == [[3, 3], [700, 699], [999, 256], [999, 999]]
    with pytest.raises(ValueError, match='label 1000 is out of range, expected 0 to 999'):
        confusion_matrix(kind([1000]), kind([0]), 1000)
    with pytest.raises(ValueError, match='num_classes must be at most 65535, got 65536'):
        confusion_matrix(kind([0]), kind([0]), 65536)


def test_more_pixels_than_float32_counts_exactly(monkeypatch):
    monkeypatch.setattr(confusion, '_EXACT', 7)
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, (2, 10, 5))
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (labels, predictions), 1)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 3), expected)


def test_nothing_to_count():
    assert not confusion_matrix(np.zeros((0, 5), int), np.zeros((0, 5), int), 3).any()


def test_a_class_that_is_nowhere_has_no_iou():
    np.testing.assert_array_equal(class_iou(np.diag([3, 0, 2])), [1, np.nan, 1])


def test_table():
    columns = {'16': np.array([0.5, np.nan]), 'flip': np.array([1, 0.25])}
    table = class_table(['sky', 'tree'], columns, 'IoU in %', 'mIoU')
    header, _, *rows = (line.replace('|', ' ').split() for line in table.split('\n'))
    assert header == ['IoU', 'in', '%', '16', 'flip']
    assert rows == [['sky', '50.0', '100.0'], ['tree', '-', '25.0'], ['mIoU', '50.0', '62.5']]
    assert len({len(line) for line in table.split('\n')}) == 1
