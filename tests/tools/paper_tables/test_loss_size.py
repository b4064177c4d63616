"""Table 8's 'labels down-sampled': the loss on the pixels at which the network has its logits."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

CLASSES, IGNORED = 5, 255


@pytest.fixture
def head():
    def head(**cfg):
        init_default_scope('mmseg')
        shape = dict(in_channels=8, channels=4, num_classes=CLASSES)
        return MODELS.build(dict(type='ImagePoolASPPHead', **shape, **cfg))

    return head


def batch(height, width, output_stride):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, (2, height, width))
    labels[:, : height // 3] = IGNORED
    size = [(side - 1) // output_stride + 1 for side in (height, width)]
    logits = rng.normal(size=(2, CLASSES, *size))
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(label)[None])) for label in labels
    ]
    return logits, labels, samples


def cross_entropy(logits, labels):
    """Mean of -log(softmax) over the labelled positions, one by one in float64.

    mmseg adds 1e-7 to the number of positions.
    """
    terms = []
    for n, row, col in np.argwhere(labels != IGNORED):
        scores = logits[n, :, row, col]
        terms.append(np.log(np.exp(scores).sum()) - scores[labels[n, row, col]])
    return np.mean(terms)


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('size', [(65, 97), (40, 61)])
def test_labels_are_taken_at_the_positions_of_the_logits(head, size, output_stride):
    logits, labels, samples = batch(*size, output_stride)
    positions = [range(0, side, output_stride) for side in size]
    taken = np.array(
        [[[label[r, c] for c in positions[1]] for r in positions[0]] for label in labels]
    )
    net = head(loss_size='logits', output_stride=output_stride)
    loss = net.loss_by_feat(torch.from_numpy(logits), samples)['loss_ce']
    assert loss.item() == pytest.approx(cross_entropy(logits, taken), rel=1e-7)


def test_the_default_upsamples_the_logits(head):
    logits, labels, samples = batch(33, 49, 16)
    upsampled = np.empty((2, CLASSES, 33, 49))
    for row in range(33):
        for col in range(49):
            top, left = min(row // 16, 1), min(col // 16, 2)
            down, right = row / 16 - top, col / 16 - left
            upsampled[:, :, row, col] = (
                (1 - down) * (1 - right) * logits[:, :, top, left]
                + (1 - down) * right * logits[:, :, top, left + 1]
                + down * (1 - right) * logits[:, :, top + 1, left]
                + down * right * logits[:, :, top + 1, left + 1]
            )
    loss = head().loss_by_feat(torch.from_numpy(logits), samples)['loss_ce']
    assert loss.item() == pytest.approx(cross_entropy(upsampled, labels), rel=1e-7)


def test_another_loss_size_is_refused(head):
    with pytest.raises(ValueError, match="'labels' or 'logits', but got 'both'"):
        head(loss_size='both')
