"""Heads with the mixin log the same numbers as mmseg's own way, and take the short way."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

STOCK = dict(type='CrossEntropyLoss', avg_non_ignore=True)
FAST = dict(type='UpsampledCrossEntropyLoss')


class LargestTensor(TorchDispatchMode):
    """Values of the largest floating-point tensor that any operation returns."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                self.size = max(self.size, tensor.numel())
        return result


def losses(head, batch):
    """What a head logs, and whether logits of the labels' size were there for it."""
    with LargestTensor() as largest:
        found = head.loss_by_feat(*batch)
    return found, largest.size >= 5 * sum(s.gt_sem_seg.data.numel() for s in batch[1])


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert torch.allclose(found[name], value, rtol=2e-6, atol=1e-4 if 'acc' in name else 0)


HEADS = ['ImagePoolASPPHead', 'UpsampledFCNHead']


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('loss_weight', [1.0, 0.4])
def test_same_log_as_mmsegs_way(build, batch, head, align_corners, loss_weight):
    options = dict(type=head, align_corners=align_corners)
    fast = build(**options, loss_decode=dict(FAST, loss_weight=loss_weight))
    stock = build(**options, loss_decode=dict(STOCK, loss_weight=loss_weight))
    (found, large), (expected, stock_large) = losses(fast, batch), losses(stock, batch)
    assert not large and stock_large
    assert_same(found, expected)
    assert list(found) == ['loss_ce', 'acc_seg']


@pytest.mark.parametrize('head', HEADS)
def test_same_training_step(build, batch, head):
    """Gradients of all weights, from feature maps on."""
    samples = batch[1]
    maps = [torch.randn(2, 8, 9, 7, generator=torch.Generator().manual_seed(1))]
    grads = []
    for loss in (FAST, STOCK):
        net = build(type=head, loss_decode=loss, dropout_ratio=0).train()
        net.loss(maps, samples, {})['loss_ce'].backward()
        grads.append([p.grad for p in net.parameters()])
    largest = max(grad.abs().max() for grad in grads[1])
    for ours, theirs in zip(*grads):
        assert (ours - theirs).abs().max() < 2e-6 * largest


@pytest.mark.parametrize('head', HEADS)
def test_our_heads_take_the_short_way_by_default(build, batch, head):
    assert not losses(build(type=head), batch)[1]


@pytest.mark.parametrize(
    'options',
    [
        dict(loss_decode=STOCK),
        dict(loss_decode=[FAST, dict(type='CrossEntropyLoss', loss_name='loss_2')]),
        dict(loss_decode=FAST, sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=100)),
    ],
    ids=['stock loss', 'two losses', 'sampler'],
)
@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
def test_everything_else_stays_mmsegs(build, batch, options):
    found = build(type='UpsampledFCNHead', **options).loss_by_feat(*batch)
    if not isinstance(options['loss_decode'], list):
        options = dict(options, loss_decode=STOCK)
    assert_same(found, build(type='FCNHead', **options).loss_by_feat(*batch))


def test_a_stock_head_takes_the_loss_as_it_is(build, batch):
    found = build(type='FCNHead', loss_decode=FAST).loss_by_feat(*batch)
    assert_same(found, build(type='FCNHead', loss_decode=STOCK).loss_by_feat(*batch))


def test_labels_taken_at_the_size_of_the_logits(build, batch):
    options = dict(type='ImagePoolASPPHead', loss_size='logits', output_stride=8)
    found = build(**options).loss_by_feat(*batch)
    assert_same(found, build(**options, loss_decode=STOCK).loss_by_feat(*batch))
    logits, samples = batch
    taken = torch.stack([sample.gt_sem_seg.data[0, ::8, ::8] for sample in samples])
    expected = F.cross_entropy(logits, taken, ignore_index=255)
    assert torch.allclose(found['loss_ce'], expected, rtol=2e-6)


def test_a_label_that_is_no_class_is_named(build, batch):
    logits, samples = batch
    samples[1].gt_sem_seg = PixelData(data=samples[1].gt_sem_seg.data.clamp(max=37))
    with pytest.raises(ValueError, match='0 to 4, or ignore_index=255, but got 37'):
        build(type='ImagePoolASPPHead').loss_by_feat(logits, samples)


BINARY = dict(num_classes=2, out_channels=1, threshold=0.3)
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)


@pytest.mark.parametrize('head', HEADS)
def test_one_output_channel_has_a_sigmoid_by_default(build, batch, head):
    logits, samples = batch[0][:, :1], batch[1]
    for sample in samples:
        labels = sample.gt_sem_seg.data
        labels[labels < 255] %= 2
    found = build(type=head, **BINARY).loss_by_feat(logits, samples)
    expected = build(type='FCNHead', align_corners=head == 'ImagePoolASPPHead', **BINARY)
    expected.loss_decode = MODELS.build(SIGMOID)
    assert_same(found, expected.loss_by_feat(logits, samples))
    assert found['loss_ce'] > 0.1


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('losses', [None, [SIGMOID, dict(type='DiceLoss')], FAST])
def test_a_batch_without_labels_has_no_loss(build, batch, head, losses):
    options = {} if losses == FAST else BINARY
    head = build(type=head, loss_decode=losses, dropout_ratio=0, **options)
    for sample in batch[1]:
        sample.gt_sem_seg = PixelData(data=torch.full_like(sample.gt_sem_seg.data, 255))
    maps = [torch.randn(2, 8, 9, 7, dtype=torch.float32)]
    found = head.loss(maps, batch[1], {})
    assert all(value == 0 for name, value in found.items() if 'loss' in name)
    assert found['acc_seg'] == 100
    sum(value for name, value in found.items() if 'loss' in name).backward()
    assert all((p.grad == 0).all() for p in head.parameters())


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    'options',
    [
        dict(num_classes=1),
        dict(num_classes=1, loss_decode=dict(type='CrossEntropyLoss')),
        dict(BINARY, loss_decode=[SIGMOID, FAST]),
    ],
)
def test_the_softmax_over_one_class_is_refused(build, head, options):
    with pytest.raises(ValueError, match=f'{head} has one output channel, .* use_sigmoid=True'):
        build(type=head, **options)
