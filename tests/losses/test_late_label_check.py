"""The check of labels, with a device whose copies arrive only when they are waited for."""

import copy
import pickle

import pytest
import torch
from mmengine.structures import PixelData

from mmseg_deeplabv3x.losses.late_label_check import LateLabelCheck

GOOD, BAD = torch.tensor([0, 4]), torch.tensor([0, 37])
WRONG = 'labels must be classes, 0 to 4, or ignore_index=255, but got 37'


def start_slow_copy(extremes):
    """As from a GPU: what is read before it has arrived is anything at all."""
    arriving = torch.full_like(extremes, -(2**40))
    return arriving, lambda: arriving.copy_(extremes)


@pytest.fixture
def check():
    return LateLabelCheck(start_slow_copy)


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
    other = LateLabelCheck(start_slow_copy)
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
        head.loss_decode.label_check = LateLabelCheck(start_slow_copy)
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
