import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS

from mmseg_deeplabv3x.transforms import SplitPackSegInputs


def both(**results):
    ours = SplitPackSegInputs().transform(dict(results))
    theirs = TRANSFORMS.build(dict(type='mmseg.PackSegInputs'))(dict(results))
    assert ours.keys() == theirs.keys()
    return ours, theirs


@pytest.mark.parametrize(
    'image',
    [
        np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8),
        np.random.default_rng(0).random((5, 7, 4), np.float32),
        np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)[:, ::-1],
        np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8),
        np.random.default_rng(0).integers(0, 256, (5, 7, 1), np.uint8),
        *(np.random.default_rng(0).random((5, 7, bands), np.float32) for bands in (12, 129, 600)),
        np.random.default_rng(0).integers(0, 2**40, (5, 7, 3)),
        np.random.default_rng(0).integers(-5, 5, (5, 7, 4), np.int16),
        np.random.default_rng(0).random((5, 7, 2)),
    ],
    ids=[
        'BGR',
        'four of float32',
        'a view',
        'gray',
        'gray with an axis',
        '12 bands',
        '129 bands',
        '600 bands',
        'int64',
        'int16',
        'float64',
    ],
)
def test_equals_mmsegs(image):
    labels = np.arange(35, dtype=np.uint8).reshape(5, 7)
    ours, theirs = both(img=image, gt_seg_map=labels, img_path='a.jpg', img_shape=(5, 7))
    assert ours['inputs'].dtype == theirs['inputs'].dtype and ours['inputs'].is_contiguous()
    assert torch.equal(ours['inputs'], theirs['inputs'])
    ours, theirs = ours['data_samples'], theirs['data_samples']
    assert torch.equal(ours.gt_sem_seg.data, theirs.gt_sem_seg.data)
    assert ours.metainfo == theirs.metainfo


def test_labels_alone():
    ours, _ = both(gt_seg_map=np.zeros((5, 7), np.uint8))
    assert 'inputs' not in ours


def test_opencv_splits_the_channels(monkeypatch):
    split, calls = cv2.split, []
    monkeypatch.setattr(cv2, 'split', lambda *args: calls.append(args) or split(*args))
    SplitPackSegInputs().transform(dict(img=np.zeros((5, 7, 3), np.uint8)))
    assert len(calls) == 1
