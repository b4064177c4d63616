"""The registered loss: mmseg's on logits of full size, and the short way from small ones."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_deeplabv3x.losses.upsampled_cross_entropy_loss import LateLabelCheck


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


# ---- labels that are no class, with a device whose copies arrive only when they are waited for


GOOD, BAD = torch.tensor([0, 4]), torch.tensor([0, 37])
WRONG = 'labels must be classes, 0 to 4, or ignore_index=255, but got 37'


class SlowCheck(LateLabelCheck):
    """As with a GPU: what is read before it has arrived is anything at all."""

    def _start_copy(self, extremes):
        arriving = torch.full_like(extremes, -(2**40))
        return arriving, lambda: arriving.copy_(extremes)


@pytest.fixture
def check():
    return SlowCheck()


def test_the_next_batch_raises_and_the_ones_after_pass(check):
    check('first', BAD, 5, 255)
    with pytest.raises(ValueError, match=f'^first: {WRONG}'):
        check('second', GOOD, 5, 255)
    check('second', GOOD, 5, 255)
    check('second', GOOD, 5, 255)
    check.finish()


def test_finish_looks_at_the_last_batch_once(check):
    check.finish()
    check('last', GOOD, 5, 255)
    check('last', BAD, 5, 255)
    with pytest.raises(ValueError, match=WRONG):
        check.finish()
    check.finish()


def test_what_is_on_the_host_is_looked_at_at_once():
    with pytest.raises(ValueError, match=WRONG):
        LateLabelCheck()('here', BAD, 5, 255)


def test_checks_know_nothing_of_each_other(check):
    check('one', BAD, 5, 255)
    other = SlowCheck()
    other('other', GOOD, 5, 255)
    other.finish()


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_has_nothing_to_look_at(check, duplicate):
    check('one', GOOD, 5, 255)
    duplicate(check).finish()
    check('one', BAD, 5, 255)
    with pytest.raises(ValueError, match=WRONG):
        duplicate(check)


def labelled(batch, label):
    logits, samples = batch
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.full_like(sample.gt_sem_seg.data, label))
    return logits, samples


@pytest.fixture
def head(build):
    def head(**cfg):
        head = build(type='UpsampledFCNHead', **cfg)
        head.loss_decode.label_check = SlowCheck()
        return head

    return head


@pytest.mark.parametrize('look', [lambda model: model.eval(), lambda model: model.state_dict()])
def test_no_evaluation_and_no_checkpoint_follows_a_wrong_label(head, batch, look):
    model = torch.nn.ModuleDict(dict(decode_head=head()))
    model['decode_head'].loss_by_feat(*labelled(batch, 4))
    look(model)
    model['decode_head'].loss_by_feat(*labelled(batch, 37))
    model.train()  # as before each iteration: nobody waits for the labels
    with pytest.raises(ValueError, match=WRONG):
        look(model)
    look(model)


def test_the_error_names_the_head_that_met_the_label(head, batch):
    decode_head = head(in_index=1)
    auxiliary_head = head(in_index=0, loss_decode=dict(type='UpsampledCrossEntropyLoss'))
    auxiliary_head.loss_by_feat(*labelled(batch, 37))
    decode_head.loss_by_feat(*labelled(batch, 4))
    decode_head.eval()
    with pytest.raises(ValueError, match=rf'^UpsampledFCNHead\(in_index=0\) loss_ce: {WRONG}'):
        auxiliary_head.eval()
