"""What the Triton kernel computes: run by test_upsampled_cross_entropy_triton.py.

In a process of its own, with TRITON_INTERPRET=1, which Triton reads when it is imported.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from mmseg_deeplabv3x.ops import upsampled_cross_entropy

IMPORTED_UNASKED = 'triton' in sys.modules

spec = importlib.util.spec_from_file_location(
    'plain', Path(__file__).with_name('test_upsampled_cross_entropy.py')
)
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
IGNORED, assert_equal, reference = plain.IGNORED, plain.assert_equal, plain.reference
# few cells: the interpreter takes one program after the other, some 30 ms each
draw = partial(plain.draw, n=1, classes=5, small=(1, 2), large=(5, 9))
ours = partial(plain.ours, triton=True)


def test_triton_is_not_imported_before_it_is_asked_for():
    assert not IMPORTED_UNASKED


# several pixels a cell, several parts a cell, equal sizes, smaller sides, one row or column
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize(
    'small,large',
    [
        ((2, 3), (9, 17)),
        ((1, 2), (20, 7)),
        ((3, 2), (3, 2)),
        ((4, 2), (2, 5)),
        ((2, 1), (1, 9)),
    ],
)
def test_sizes(small, large, align_corners):
    case = draw(small=small, large=large)
    assert_equal(ours(*case, align_corners), reference(*case, align_corners))


@pytest.mark.parametrize('classes', [2, 21, 150])
def test_classes(classes):
    case = draw(classes=classes)
    assert_equal(ours(*case, False), reference(*case, False))


def test_one_class_has_no_loss():
    loss, grad, accuracy = ours(*draw(classes=1), True)
    assert loss == 0 and not grad.any() and accuracy.item() == pytest.approx(100)


def test_over_all_pixels():
    case = draw(n=2, ignored=0.3)
    expected = reference(*case, True, avg_non_ignore=False)
    assert_equal(ours(*case, True, avg_non_ignore=False), expected)


def test_class_weights():
    case = draw(n=2, ignored=0.3)
    weights = torch.tensor([[0.5, 9], [2, 9], [1, 9], [0, 9], [3, 9]])[:, 0]  # in steps of 2
    expected = reference(*case, True, class_weight=weights.tolist())
    assert_equal(ours(*case, True, class_weight=weights), expected)


def test_all_ignored():
    loss, grad, _ = ours(*draw(ignored=1), True)
    assert loss == 0 and not grad.any()


def test_a_tie_is_right():
    logits, labels = draw()
    assert ours(torch.full_like(logits, 0.3), labels, False)[2].item() == pytest.approx(100)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = draw(dtype=dtype)
    loss, grad, accuracy = ours(logits, labels, True)
    expected = reference(logits, labels, True)
    assert loss.dtype == torch.float32 and grad.dtype == dtype
    assert abs(loss - expected[0]) < 1e-6 * expected[0]
    assert (grad - expected[1].to(dtype)).abs().max() <= torch.finfo(dtype).eps * grad.abs().max()
    assert accuracy.item() == pytest.approx(expected[2].item(), abs=1e-3)


def test_float64_is_done_without():
    case = draw(dtype=torch.float64)
    assert_equal(ours(*case, True), reference(*case, True), tolerance=1e-12)


def test_layouts_and_small_integers():
    logits, labels = draw()
    logits = logits.to(memory_format=torch.channels_last)
    turned = labels.to(torch.uint8).transpose(1, 2).contiguous().transpose(1, 2)
    assert_equal(ours(logits, turned, True), reference(logits, labels, True))


def test_another_ignore_index():
    logits, labels = draw()
    found = ours(logits, labels.where(labels != IGNORED, -100), True, ignore_index=-100)
    assert_equal(found, reference(logits, labels, True))


def test_large_logits_do_not_overflow():
    logits, labels = draw()
    assert_equal(ours(100 * logits, labels, True), reference(100 * logits, labels, True), 1e-5)


def test_a_logit_that_is_not_a_number_is_not_hidden():
    logits, labels = draw(ignored=0)
    logits[0, 2, 0, 1] = torch.nan
    assert ours(logits, labels, True)[0].isnan()


def test_value_without_gradient():
    logits, labels = draw()
    loss = upsampled_cross_entropy(logits, labels, True, triton=True)
    assert not loss.requires_grad
    assert loss == ours(logits, labels, True)[0]


@pytest.mark.parametrize('value', [5, 2**40, -1])
def test_a_label_that_is_no_class(value):
    logits, labels = draw()
    labels[0, 3, 5] = value
    message = f'labels must be classes, 0 to 4, or ignore_index=255, but got {value}.'
    with pytest.raises(ValueError, match=message):
        ours(logits, labels, True)


def test_registered_loss():
    from mmseg.registry import MODELS

    logits, labels = draw()
    loss = MODELS.build(dict(type='UpsampledCrossEntropyLoss', triton=True, loss_weight=0.4))
    value, accuracy = loss.loss_and_accuracy(logits, labels, True, IGNORED)
    expected = reference(logits, labels, True)
    assert value.item() == pytest.approx(0.4 * expected[0].item(), rel=1e-6)
    assert accuracy.item() == pytest.approx(expected[2].item(), abs=1e-3)
