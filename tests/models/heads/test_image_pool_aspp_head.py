"""ImagePoolASPPHead: the paper's head, and mmseg's ASPPHead when given its shape."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mmseg_deeplabv3x.atrous import aspp_rates
from mmseg_deeplabv3x.models.heads.image_pool_aspp_head import GlobalMean2d


@pytest.fixture
def head(build):
    def head(**cfg):
        return build(
            type='ImagePoolASPPHead',
            **{'in_channels': 32, 'num_classes': 5, 'channels': 16, **cfg},
        )

    return head


def test_the_papers_head_has_15_5_million_parameters(build):
    head = build(type='ImagePoolASPPHead', in_channels=2048, num_classes=21)
    atrous = 3 * 9 * 2048 * 256
    pointwise = 2 * 2048 * 256 + 5 * 256 * 256
    norms = 6 * 2 * 256
    classifier = 256 * 21 + 21
    assert sum(p.numel() for p in head.parameters()) == atrous + pointwise + norms + classifier


@pytest.mark.parametrize('output_stride', [8, 16])
@pytest.mark.parametrize('channels,kernel', [(16, 3)])
def test_equals_mmsegs_aspp_head_given_its_shape(build, head, output_stride, channels, kernel):
    theirs = build(
        type='ASPPHead',
        in_channels=32,
        channels=channels,
        num_classes=5,
        dilations=(1, *aspp_rates((6, 12, 18), output_stride)),
        norm_cfg=dict(type='BN'),
    )
    ours = head(
        channels=channels,
        projection_kernel=kernel,
        output_stride=output_stride,
        align_corners=False,
        seed=1,
    )
    assert list(ours.state_dict()) != [] and set(ours.state_dict()) == set(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 32, 33, 29)
    with torch.no_grad():
        assert (ours([x]) - theirs([x])).abs().max() < 1e-5


def test_published_shape_matches_mmsegs_checkpoint(build):
    shape = dict(in_channels=2048, num_classes=21, channels=512)
    theirs = build(
        type='ASPPHead', dilations=(1, 12, 24, 36), norm_cfg=dict(type='BN'), **shape
    ).state_dict()
    ours = build(type='ImagePoolASPPHead', projection_kernel=3, **shape).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize('rates', [(), (6,), (6, 12, 18), (6, 12, 18, 24)])
@pytest.mark.parametrize('image_pool', [True, False])
def test_any_number_of_rates(head, rates, image_pool):
    net = head(rates=rates, image_pool=image_pool)
    branches = 1 + len(rates) + image_pool
    assert net.bottleneck.conv.in_channels == 16 * branches
    assert any('image_pool' in key for key in net.state_dict()) == image_pool
    with torch.no_grad():
        assert net([torch.randn(1, 32, 9, 7)]).shape == (1, 5, 9, 7)


def test_rates_follow_the_output_stride(head):
    net = head()
    found = {}
    for output_stride in (8, 16, 32):
        net.set_output_stride(output_stride)
        found[output_stride] = [m.conv.dilation[0] for m in list(net.aspp_modules)[1:]]
        with torch.no_grad():
            assert net([torch.randn(1, 32, 13, 13)]).shape == (1, 5, 13, 13)
    assert found == {8: [12, 24, 36], 16: [6, 12, 18], 32: [3, 6, 9]}


def test_finer_input_gives_the_same_logits_where_the_coarser_has_them(head, relative_error):
    """Without image pooling, whose mean is over other positions."""
    net = head(image_pool=False, output_stride=8)
    fine = torch.randn(1, 32, 65, 65)
    with torch.no_grad():
        logits = net([fine])
        net.set_output_stride(16)
        assert relative_error(logits[..., ::2, ::2], net([fine[..., ::2, ::2]])) < 1e-4


def test_image_pooling_sees_the_whole_image(head):
    x = torch.randn(1, 32, 9, 9)
    far = x.clone()
    far[..., 0, 0] += 100.0
    with torch.no_grad():
        local = head(rates=(), image_pool=False)
        assert torch.equal(local([x])[..., 8, 8], local([far])[..., 8, 8])
        pooled = head(rates=())
        assert not torch.allclose(pooled([x])[..., 8, 8], pooled([far])[..., 8, 8])


@pytest.mark.parametrize('rates', [(6, 12, 18), (6, 12, 18, 24)])
@pytest.mark.parametrize('image_pool', [True, False])
@pytest.mark.parametrize('kernel', [1, 3])
def test_the_fast_way_is_the_plain_one(head, relative_error, rates, image_pool, kernel):
    x = torch.randn(2, 32, 33, 29)
    results = []
    for fast in (True, False):
        shape = dict(rates=rates, image_pool=image_pool, projection_kernel=kernel, dropout_ratio=0)
        net = head(fast=fast, **shape).train()
        logits = net([x])
        weights = dict(net.named_parameters())
        # the loss of a trained network, not a plain sum, whose gradient BN takes away
        grads = torch.autograd.grad(logits.square().mean(), list(weights.values()))
        results.append([logits, *grads])
    for ours, plain in zip(*results):
        assert relative_error(ours, plain) < 1e-4


@pytest.mark.parametrize(
    'cfg', [dict(act_cfg=None), dict(norm_cfg=None), dict(norm_cfg=None, act_cfg=None)]
)
def test_the_fast_way_needs_no_activation_and_no_norm_of_its_own(head, cfg, relative_error):
    x = torch.randn(2, 32, 33, 29)
    with torch.no_grad():
        fast, plain = (head(fast=fast, **cfg)([x]) for fast in (True, False))
    assert fast.std() > 0 and relative_error(fast, plain) < 1e-4


def test_the_fast_way_does_less(head):
    x = torch.randn(1, 32, 33, 33)
    flops = []
    for fast in (True, False):
        logits = head(fast=fast)([x])
        with FlopCounterMode(display=False) as counter:
            logits.sum().backward()  # to the filters
        flops.append(counter.get_total_flops())
    assert flops[0] < 0.75 * flops[1]


def test_the_fast_way_pools_with_a_small_gradient(head):
    x = torch.randn(2, 32, 33, 29, requires_grad=True)
    strides = []
    for fast in (True, False):
        pool = head(fast=fast).image_pool[0]
        strides.append(torch.autograd.grad(pool(x).sum(), x)[0].stride()[2:])
    assert strides[0] == (0, 0) != strides[1]


class Operations(TorchDispatchMode):
    """All operations that run, with the shapes and strides of what they get."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self.seen.append((str(func), [(t.shape, t.stride()) for t in tensors]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(33, 29), (9, 7)])
@pytest.mark.parametrize('device', ['meta', 'cpu'])
def test_on_any_device_but_a_cpu_it_is_the_plain_way(head, device, size, memory_format):
    found = []
    for fast in (True, False):
        net = head(fast=fast, projection_kernel=3).train().to(device)
        x = torch.randn(2, 32, *size, device=device).to(memory_format=memory_format)
        with Operations() as operations:
            net([x.requires_grad_()]).square().mean().backward()
        found.append(operations.seen)
    assert (found[0] == found[1]) == (device != 'cpu')


@pytest.mark.parametrize('fast', [True, False])
def test_the_fast_way_copies_the_map_once_and_the_branches_never(head, fast):
    x = torch.randn(2, 32, 33, 29)
    with Operations() as operations:
        head(fast=fast)([x])
    copies = [
        name for name, tensors in operations.seen if 'clone' in name and tensors[0][0] == x.shape
    ]
    assert len(copies) == fast
    assert any('cat' in name for name, _ in operations.seen) != fast


def test_another_conv_is_left_as_it_is(head):
    net = head(conv_cfg=dict(type='Conv2d'))
    assert not net.fast and type(net.aspp_modules[1].conv) is torch.nn.Conv2d


@pytest.mark.parametrize('kernel', [1, 3])
def test_exported_and_run_at_another_size(head, relative_error, kernel):
    net = head(projection_kernel=kernel).requires_grad_(False)
    with torch.no_grad():
        traced = torch.jit.trace(lambda x: net([x]), torch.randn(1, 32, 33, 33))
        x = torch.randn(1, 32, 9, 40)
        assert relative_error(traced(x), net([x])) < 1e-5


def test_dropout_drops_single_values(head):
    net = head(dropout_ratio=0.5)
    net.dropout.train()
    torch.manual_seed(0)
    dropped = net.dropout(torch.ones(1, 16, 8, 8)) == 0
    assert not dropped.flatten(2).all(2).any()
    assert 0.3 < dropped.float().mean() < 0.7


def test_training_on_one_image_is_refused_unless_bn_is_frozen(head):
    net = head().train()
    x = torch.randn(1, 32, 9, 9)
    with pytest.raises(ValueError, match='at least 2 images for each GPU, but got 1.*freeze_bn'):
        net([x])
    net.image_pool.eval()
    assert net([x]).shape == (1, 5, 9, 9)
    assert head(image_pool=False).train()([x]).shape == (1, 5, 9, 9)


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(rates=(1, 6, 12, 18)), r'at least 2 .*, but got \(1, 6, 12, 18\)'),
        (dict(output_stride=64), 'rate 6 .* no whole number'),
    ],
)
def test_errors(head, cfg, message):
    with pytest.raises(ValueError, match=message):
        head(**cfg)


def test_one_output_channel_is_trained_by_a_sigmoid(head):
    net = head(num_classes=2, out_channels=1, threshold=0.5, output_stride=8).train()
    labels = torch.randint(2, (2, 1, 65, 65))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    logits = torch.randn(2, 1, 9, 9)
    full = F.interpolate(logits, (65, 65), mode='bilinear', align_corners=True)
    expected = F.binary_cross_entropy_with_logits(full, labels.float())
    assert abs(net.loss_by_feat(logits, samples)['loss_ce'] - expected) < 1e-6


@pytest.mark.parametrize('rates', [6, None, '6', [6, None]])
def test_rates_that_are_none_are_named(build, rates):
    with pytest.raises(ValueError, match='^rates are those of the 3x3 branches'):
        build(type='ImagePoolASPPHead', in_channels=4, num_classes=2, rates=rates)


# ---- GlobalMean2d


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(1, 1), (5, 7), (33, 33)])
def test_equals_adaptive_average_pooling(size, memory_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    x = x.to(memory_format=memory_format).requires_grad_()
    upstream = torch.randn(2, 3, 1, 1, dtype=torch.float64, generator=generator)
    results = []
    for pool in (GlobalMean2d(), nn.AdaptiveAvgPool2d(1)):
        y = pool(x)
        results.append((y, *torch.autograd.grad(y, x, upstream)))
    for mine, reference in zip(*results):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_no_map():
    x = torch.randn(2, 3, 5, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(GlobalMean2d()(x).sum(), x)
    assert gradient.shape == x.shape and gradient.stride()[2:] == (0, 0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_changes_its_type(dtype):
    y = GlobalMean2d()(torch.full((1, 2, 64, 64), 100.0, dtype=dtype))
    assert y.dtype == dtype and y.flatten().tolist() == [100, 100]
