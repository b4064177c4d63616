import copy
import io
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.transforms import SplitPackSegInputs
from mmseg_deeplabv3x.transforms.split_pack_seg_inputs import ByteLabelSample


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


def sample(labels):
    result = ByteLabelSample(metainfo=dict(img_path='a.jpg', ori_shape=(4, 5)))
    result.gt_sem_seg = PixelData(metainfo=dict(kind='fine'), data=torch.as_tensor(labels))
    return result


def same(one, other):
    assert type(one) is type(other) is ByteLabelSample
    assert one.metainfo == other.metainfo and one.keys() == other.keys()
    labels, others = one.gt_sem_seg, other.gt_sem_seg
    assert labels.metainfo == others.metainfo
    assert labels.data.dtype == others.data.dtype and torch.equal(labels.data, others.data)


LABELS = {
    'ids': torch.randint(0, 255, (1, 40, 50), generator=torch.Generator().manual_seed(0)),
    'ends': torch.tensor([[[0, 255]]]),
    'negative': torch.tensor([[[0, -1]]]),
    'large': torch.tensor([[[0, 256]]]),
    'bytes': torch.tensor([[[0, 7]]], dtype=torch.uint8),
    'numbers': torch.tensor([[[0.5, 7]]]),
    'none': torch.zeros(1, 0, 5, dtype=torch.long),
}


@pytest.mark.parametrize('kind', LABELS)
@pytest.mark.parametrize('again', [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_the_same_after_it(kind, again):
    before = sample(LABELS[kind])
    after = again(before)
    same(after, before)
    after.gt_sem_seg.data.zero_()
    same(before, sample(LABELS[kind]))


def size(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return len(buffer.getvalue())


def test_an_eighth_on_its_way():
    labels = torch.randint(0, 256, (1, 300, 300))
    plain = SegDataSample()
    plain.gt_sem_seg = PixelData(data=labels)
    saved = size(plain) - size(sample(labels))
    assert saved > 0.99 * labels.numel() * 7


def test_without_labels():
    prediction = ByteLabelSample()
    prediction.pred_sem_seg = PixelData(data=torch.zeros(1, 4, 5, dtype=torch.long))
    again = pickle.loads(pickle.dumps(prediction))
    assert again.pred_sem_seg.data.dtype == torch.long and 'gt_sem_seg' not in again


class Packed(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        labels = np.full((8, 9), 250 + index, np.uint8)
        return SplitPackSegInputs().transform(
            dict(img=np.zeros((8, 9, 3), np.uint8), gt_seg_map=labels, img_path=f'{index}.jpg')
        )


@pytest.mark.parametrize('workers', [0, 2])
def test_through_a_loader(workers):
    loader = DataLoader(Packed(), num_workers=workers, collate_fn=lambda batch: batch)
    for index, (item,) in enumerate(loader):
        received = item['data_samples']
        assert type(received) is ByteLabelSample and received.img_path == f'{index}.jpg'
        assert received.gt_sem_seg.data.dtype == torch.int64
        assert (received.gt_sem_seg.data == 250 + index).all()
        moved = received.to('cpu', torch.float64)
        assert moved.gt_sem_seg.data.dtype == torch.float64
