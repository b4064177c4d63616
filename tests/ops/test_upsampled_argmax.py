"""Against interpolation and argmax of the whole map, in float64."""

from __future__ import annotations

import importlib

import pytest
import torch
from benchmarks.memory import peak_extra_memory
from torch.nn import functional as F

from mmseg_deeplabv3x.ops import upsampled_argmax

module = importlib.import_module('mmseg_deeplabv3x.ops.upsampled_argmax')


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setattr(module, 'CPU_STRIP', 700)


def draw(n=2, classes=7, size=(5, 6), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, classes, *size, generator=generator, dtype=dtype)


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('size', [(33, 29), (5, 6), (1, 1), (64, 3), (3, 4)])
@pytest.mark.parametrize('small', [(5, 6), (1, 1), (9, 2)])
def test_equals_the_argmax_of_the_whole_map(align_corners, size, small):
    logits = draw(size=small)
    whole = F.interpolate(logits, size, mode='bilinear', align_corners=align_corners)
    assert torch.equal(upsampled_argmax(logits, size, align_corners), whole.argmax(1))


@pytest.mark.parametrize('classes', [1, 2, 150])
def test_of_equal_classes_it_is_the_first(classes):
    logits = draw(1, classes, (9, 8)).round()  # nearly all of 150 classes are 0 or 1
    assert torch.equal(upsampled_argmax(logits, (9, 8), True), logits.argmax(1))


def test_classes_that_differ_by_little():
    logits = draw(dtype=torch.float32).mul_(1e-42)  # less than the smallest normal number
    assert torch.equal(upsampled_argmax(logits, (5, 6), True), logits.argmax(1))


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_of_a_network_that_diverged_it_is_a_class_all_the_same(value, dtype):
    logits = draw(dtype=torch.float32).to(dtype)
    logits[:, 3] = value
    logits[:, 4] = -torch.inf
    assert (upsampled_argmax(logits, (33, 29), True) == 3).all()
    logits[:] = value
    assert (upsampled_argmax(logits, (33, 29), True) == 0).all()


def test_no_gradient_is_asked_for():
    logits = draw().requires_grad_()
    classes = upsampled_argmax(logits, (33, 29), True)
    assert torch.equal(classes, upsampled_argmax(logits.detach(), (33, 29), True))


@pytest.mark.parametrize('keep', [(33, 29), (20, 29), (1, 1), (32, 3)])
def test_keeps_the_upper_left_part(keep):
    logits = draw()
    whole = upsampled_argmax(logits, (33, 29), True)
    part = upsampled_argmax(logits, (33, 29), True, keep=keep)
    assert torch.equal(part, whole[:, : keep[0], : keep[1]])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_lower_precision_is_upsampled_in_float32(dtype):
    logits = draw(dtype=torch.float64).to(dtype)
    exact = upsampled_argmax(logits.double(), (33, 29), True)
    assert (upsampled_argmax(logits, (33, 29), True) == exact).float().mean() > 0.999


def test_full_size_logits_are_never_there(monkeypatch):
    monkeypatch.setattr(module, 'CPU_STRIP', 2**15)
    logits = draw(1, 21, (17, 17), torch.float32)
    extra = peak_extra_memory(lambda: upsampled_argmax(logits, (257, 257), True))
    result, full_size = 257 * 257 * 8, 257 * 257 * 21 * 4
    assert extra - result < full_size / 4
