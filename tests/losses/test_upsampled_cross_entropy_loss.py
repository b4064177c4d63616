"""The registered loss: mmseg's on logits of full size, and the short way from small ones."""

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from torch.nn import functional as F


def losses(**cfg):
    return [MODELS.build(dict(type=f'{kind}CrossEntropyLoss', **cfg)) for kind in ('Upsampled', '')]


def test_full_size_logits_get_mmsegs_loss(build, batch):
    """As a stock head calls it, with a weight for each pixel or none."""
    logits, samples = batch
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear')
    ours, theirs = losses(loss_weight=0.4, avg_non_ignore=True)
    for weight in (None, torch.rand(labels.shape)):
        assert ours(large, labels, weight=weight, ignore_index=255) == theirs(
            large, labels, weight=weight, ignore_index=255
        )


@pytest.mark.parametrize('align_corners', [True, False])
def test_small_logits_get_the_same_number(batch, align_corners):
    logits, samples = batch
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=align_corners)
    ours, theirs = losses(loss_weight=0.4, avg_non_ignore=True)
    loss, _ = ours.loss_and_accuracy(logits, labels, align_corners, 255)
    assert loss.item() == pytest.approx(theirs(large, labels, ignore_index=255).item(), rel=1e-6)


def test_defaults():
    loss = losses()[0]
    assert loss.loss_name == 'loss_ce' and loss.avg_non_ignore and loss.loss_weight == 1


def test_class_weights_come_from_a_file_too(tmp_path, batch):
    logits, samples = batch
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    np.save(tmp_path / 'weights.npy', np.array([1.0, 2.0, 0.5, 0.0, 3.0]))
    from_file, listed = (
        losses(class_weight=weight)[0].loss_and_accuracy(logits, labels, True, 255)[0]
        for weight in (str(tmp_path / 'weights.npy'), [1.0, 2.0, 0.5, 0.0, 3.0])
    )
    even = losses()[0].loss_and_accuracy(logits, labels, True, 255)[0]
    assert from_file == listed != even


def test_what_stock_configs_write_fits():
    loss = losses(use_sigmoid=False, use_mask=False, reduction='mean')[0]
    assert loss.reduction == 'mean'


@pytest.mark.parametrize(
    'asked', [dict(use_sigmoid=True), dict(use_mask=True), dict(reduction='sum')]
)
def test_what_mmsegs_loss_alone_can_do_names_it(asked):
    name, value = next(iter(asked.items()))
    with pytest.raises(ValueError, match=f"{name}='?{value}.* take mmseg's CrossEntropyLoss"):
        losses(**asked)


@pytest.mark.parametrize('ignored', [0, 200, -1])
def test_any_label_may_be_ignored(batch, ignored):
    logits, samples = batch
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples])
    labels[labels == (255 if ignored else 0)] = ignored
    if not ignored:
        labels[labels == 255] = 0
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=True)
    ours, _ = losses()
    loss, _ = ours.loss_and_accuracy(logits, labels, True, ignored)
    expected = F.cross_entropy(large, labels, ignore_index=ignored)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
