"""Against interpolation and cross-entropy of the whole map, in float64 and by mmseg's own code."""

from __future__ import annotations

import importlib
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses import accuracy as mmseg_accuracy
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmseg_deeplabv3x.ops import check_labels, upsampled_cross_entropy

# the package's name for it is the function
module = importlib.import_module('mmseg_deeplabv3x.ops.upsampled_cross_entropy')
IGNORED = 255


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Small maps too are cut into several tiles, the last ones smaller."""
    monkeypatch.setattr(module, 'CPU_TILE', (5 * 7 * 20, 20))


def draw(n=2, classes=7, small=(5, 6), large=(33, 29), ignored=0.2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, *small, generator=generator)
    labels = torch.randint(classes, (n, *large), generator=generator)
    labels[torch.rand(n, *large, generator=generator) < ignored] = IGNORED
    return logits.to(dtype), labels


def reference(logits, labels, align_corners, class_weight=None, avg_non_ignore=True):
    """Loss, gradient and accuracy by the plain formula in float64."""
    logits = logits.detach().double().requires_grad_()
    large = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=align_corners)
    valid = labels != IGNORED
    picked = large.log_softmax(1).gather(1, labels.where(valid, 0)[:, None])[:, 0]
    weight = torch.ones(logits.shape[1]) if class_weight is None else torch.tensor(class_weight)
    weight = weight.double()[labels.where(valid, 0)]
    over = (weight * valid).sum() if avg_non_ignore else weight.where(valid, 1.0).sum()
    loss = -(picked * weight * valid).sum() / (over + torch.finfo(torch.float32).eps)
    (grad,) = torch.autograd.grad(loss, logits)
    right = (large.argmax(1) == labels).sum() / valid.sum().clamp(min=1)
    return loss.detach(), grad, 100 * right


def ours(logits, labels, align_corners, **options):
    logits = logits.detach().requires_grad_()
    loss, accuracy = upsampled_cross_entropy(
        logits, labels, align_corners, return_accuracy=True, **options
    )
    assert not accuracy.requires_grad
    (grad,) = torch.autograd.grad(loss, logits)
    return loss.detach(), grad, accuracy


def assert_equal(found, expected, tolerance=1e-6):
    loss, grad, accuracy = found
    expected_loss, expected_grad, expected_accuracy = expected
    assert abs(loss - expected_loss) <= tolerance * abs(expected_loss)
    assert (grad - expected_grad).abs().max() <= tolerance * expected_grad.abs().max()
    assert accuracy.shape == (1,)
    assert accuracy.item() == pytest.approx(expected_accuracy.item(), abs=1e-3)


# upsampling, equal sizes, one side smaller, both smaller, one row or column on either side
SIZES = [
    ((5, 6), (33, 41)),
    ((9, 9), (9, 9)),
    ((9, 4), (5, 30)),
    ((17, 13), (6, 5)),
    ((1, 1), (8, 9)),
    ((6, 1), (1, 7)),
    ((33, 65), (257, 513)),
]


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('small,large', SIZES)
def test_sizes(small, large, align_corners):
    case = draw(small=small, large=large)
    assert_equal(ours(*case, align_corners), reference(*case, align_corners))


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('class_weight', [None, [0.5, 2.0, 1.0, 0.0, 3.0, 0.1, 1.5]])
@pytest.mark.parametrize('avg_non_ignore', [True, False])
@pytest.mark.parametrize('ignored', [0, 0.3])
@pytest.mark.parametrize('n', [1, 3])
def test_options(n, ignored, avg_non_ignore, class_weight, align_corners):
    case = draw(n=n, ignored=ignored)
    options = dict(class_weight=class_weight, avg_non_ignore=avg_non_ignore)
    assert_equal(ours(*case, align_corners, **options), reference(*case, align_corners, **options))


side = st.integers(1, 24)


@settings(deadline=None, max_examples=80)
@given(
    n=st.integers(1, 3),
    classes=st.integers(1, 9),
    small=st.tuples(side, side),
    large=st.tuples(side, side),
    align_corners=st.booleans(),
    tile=st.tuples(st.integers(1, 2000), st.integers(1, 30)),
    seed=st.integers(0, 9),
)
def test_any_shape_in_tiles_of_any_size(n, classes, small, large, align_corners, tile, seed):
    module.CPU_TILE = tile  # the fixture puts it back
    # float64: in one pixel's loss, single precision is not 1e-6
    case = draw(n, classes, small, large, seed=seed, dtype=torch.float64)
    found, expected = ours(*case, align_corners), reference(*case, align_corners)
    if classes == 1:  # nothing to learn: both are rounding
        assert max(found[0].abs(), found[1].abs().max()) < 1e-12
    else:
        # accuracy is compared elsewhere: equal neighbours of tiny maps give ties
        assert_equal((*found[:2], expected[2].reshape(1)), expected, tolerance=1e-10)


def test_float64_stays_float64():
    case = draw(dtype=torch.float64)
    assert_equal(ours(*case, True), reference(*case, True), tolerance=1e-12)
    logits, labels = draw(1, 3, (2, 2), (5, 4), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: upsampled_cross_entropy(x, labels, False), logits.requires_grad_()
    )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = draw(dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, grad, accuracy = ours(logits, labels, True)
    expected = reference(logits, labels, True)
    assert loss.dtype == torch.float32 and grad.dtype == dtype
    # the gradient is rounded once, at the end
    assert_equal((loss, expected[1].to(dtype), accuracy), expected, 2 * torch.finfo(dtype).eps)
    assert abs(loss - expected[0]) < 1e-6 * expected[0]
    assert (grad - expected[1].to(dtype)).abs().max() <= torch.finfo(dtype).eps * grad.abs().max()


def test_channels_last_logits():
    logits, labels = draw()
    found = ours(logits.to(memory_format=torch.channels_last), labels, True)
    assert_equal(found, reference(logits, labels, True))


def test_small_integer_labels():
    logits, labels = draw()
    assert_equal(ours(logits, labels.to(torch.uint8), True), reference(logits, labels, True))


def test_large_logits_do_not_overflow():
    logits, labels = draw()
    assert_equal(ours(100 * logits, labels, True), reference(100 * logits, labels, True), 1e-5)


def test_another_ignore_index():
    logits, labels = draw()
    found = ours(logits, labels.where(labels != IGNORED, -100), True, ignore_index=-100)
    assert_equal(found, reference(logits, labels, True))


@pytest.mark.parametrize('avg_non_ignore', [True, False])
@pytest.mark.parametrize(
    'ignored,class_weight',
    # with both, mmseg looks up the weight of class 255 and fails with an IndexError
    [(0, None), (0.3, None), (1, None), (0, [0.5, 2.0, 1.0, 0.25, 3.0, 0.1, 1.5])],
)
@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
def test_equals_mmseg(ignored, class_weight, avg_non_ignore):
    """Also with all pixels ignored: 0, and no gradient."""
    logits, labels = draw(ignored=ignored)
    theirs = CrossEntropyLoss(class_weight=class_weight, avg_non_ignore=avg_non_ignore)
    small = logits.clone().requires_grad_()
    large = F.interpolate(small, labels.shape[1:], mode='bilinear', align_corners=True)
    expected = theirs(large, labels, ignore_index=IGNORED)
    (grad,) = torch.autograd.grad(expected, small)
    accuracy = mmseg_accuracy(large, labels, ignore_index=IGNORED)
    options = dict(class_weight=class_weight, avg_non_ignore=avg_non_ignore)
    found = ours(logits, labels, True, **options)
    assert_equal(found, (expected.detach(), grad, accuracy), tolerance=2e-6)
    if ignored == 1:
        assert found[0] == 0 and not found[1].any()


def test_over_all_pixels_an_ignored_one_has_weight_1():
    logits, labels = draw()
    ones = ours(logits, labels, True, class_weight=[1.0] * 7, avg_non_ignore=False)
    assert_equal(ones, ours(logits, labels, True, avg_non_ignore=False))


def test_gradient_scales_with_what_follows():
    logits, labels = draw()
    _, grad, _ = ours(logits, labels, True)
    logits = logits.requires_grad_()
    (-3 * upsampled_cross_entropy(logits, labels, True)).backward()
    assert torch.allclose(logits.grad, -3 * grad)


def test_value_without_gradient():
    logits, labels = draw()
    with torch.no_grad():
        loss = upsampled_cross_entropy(logits.requires_grad_(), labels, True)
    assert not loss.requires_grad
    assert loss == ours(logits, labels, True)[0]


def test_a_second_derivative_is_refused():
    logits, labels = draw()
    logits = logits.requires_grad_()
    loss = upsampled_cross_entropy(logits, labels, True)
    with pytest.raises(RuntimeError, match='differentiable once, but got create_graph=True'):
        torch.autograd.grad(loss, logits, create_graph=True)


def test_inputs_are_left_alone():
    logits, labels = draw()
    copies = logits.clone(), labels.clone()
    ours(logits, labels, True)
    assert torch.equal(logits, copies[0]) and torch.equal(labels, copies[1])


@pytest.mark.parametrize('value', [7, 37, 254, -1])
def test_a_label_that_is_no_class(value):
    logits, labels = draw()
    labels[1, 17, 5] = value
    message = f'labels must be classes, 0 to 6, or ignore_index=255, but got {value}.'
    with pytest.raises(ValueError, match=message):
        upsampled_cross_entropy(logits, labels, True)


def test_shapes_that_do_not_fit():
    logits, labels = draw()
    for case in [(logits[0], labels), (logits, labels[:, None]), (logits, labels[:1])]:
        with pytest.raises(ValueError, match=r'logits must be \(N, C, h, w\) and labels \(N, H, W'):
            upsampled_cross_entropy(*case, True)
    with pytest.raises(ValueError, match='each of the 7 classes, but got 6'):
        upsampled_cross_entropy(logits, labels, True, class_weight=[1] * 6)


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operation returns."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.nbytes)
        return result


def test_memory(monkeypatch):
    monkeypatch.setattr(module, 'CPU_TILE', (2**18, 2**8))
    logits, labels = draw(n=2, classes=19, small=(33, 33), large=(257, 257))
    full = logits.element_size() * labels.numel() * logits.shape[1]
    sizes = {}
    for function in (reference, ours):
        with LargestTensor() as largest:
            function(logits, labels, True)
        sizes[function] = largest.size
    assert sizes[reference] >= 2 * full  # in float64: the counter sees it
    assert sizes[ours] <= 4 * 2**18 < full / 9


def test_the_tiles_size_does_not_matter(monkeypatch):
    case = draw()
    results = []
    for rows, columns in [(1, 1), (1, 29), (33, 29), (7, 11), (32, 28), (100, 100)]:
        monkeypatch.setattr(module, 'CPU_TILE', (rows * 7 * columns, columns))
        results.append(ours(*case, False))
    for one, other in itertools.combinations(results, 2):
        assert_equal(one, other)


# ---- labels that are no class


@pytest.mark.parametrize('extremes', [[0, 0], [0, 20], [3, 7]])
def test_classes_pass(extremes):
    check_labels(torch.tensor(extremes), 21, 255)


@pytest.mark.parametrize('extremes,value', [([0, 21], 21), ([-1, 5], -1), ([0, 254], 254)])
def test_the_error_names_the_label(extremes, value):
    message = f'^labels must be classes, 0 to 20, or ignore_index=255, but got {value}.$'
    with pytest.raises(ValueError, match=message):
        check_labels(torch.tensor(extremes), 21, 255)
