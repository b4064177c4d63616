"""ValidTapConv2d: a Conv2d in everything but the time it takes."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmseg_deeplabv3x.models.layers.surgery import speed_up_convs
from mmseg_deeplabv3x.models.layers.valid_tap_conv import ValidTapConv2d

FEWER, SAME = True, False


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    'cfg,products',
    [
        (dict(kernel_size=3, padding=8, dilation=8), FEWER),
        (dict(kernel_size=3, padding=9, dilation=9), FEWER),
        (dict(kernel_size=3, padding=8, dilation=8, bias=True), FEWER),
        (dict(kernel_size=3, padding=9, dilation=9, bias=True), FEWER),
        (dict(kernel_size=3, padding=1), SAME),
        (dict(kernel_size=1), SAME),
        (dict(kernel_size=3, padding=8, dilation=8, stride=2), SAME),
        (dict(kernel_size=3, padding=7, dilation=8), SAME),
        (dict(kernel_size=3, padding=8, dilation=8, groups=2), SAME),
        (dict(kernel_size=3, padding=8, dilation=8, padding_mode='reflect'), SAME),
        (dict(kernel_size=5, padding=16, dilation=8), SAME),
    ],
)
def test_equals_conv2d(build, cfg, products):
    cfg = dict(in_channels=4, out_channels=6, **{'bias': False, **cfg})
    ours = build(type='ValidTapConv2d', **cfg).double()
    theirs = torch.nn.Conv2d(**cfg).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    flops, results = [], []
    for conv in (ours, theirs):
        with FlopCounterMode(display=False) as counter:
            y = conv(x)
            results.append([y, *torch.autograd.grad(y.square().sum(), list(conv.parameters()))])
        flops.append(counter.get_total_flops())
    for mine, reference in zip(*results):
        torch.testing.assert_close(mine, reference)
    assert (flops[0] < flops[1]) == products


@pytest.mark.parametrize(
    'cfg',
    [
        {},
        dict(padding='same', padding_mode='reflect', bias=False),
        dict(stride=2),
        dict(padding=1),
        dict(groups=2),
    ],
)
def test_1x1_filters(cfg, one_thread):
    conv = ValidTapConv2d(4, 6, 1, **cfg)
    x = torch.randn(2, 4, 9, 9).to(memory_format=torch.channels_last)
    with torch.profiler.profile() as profile:
        y = conv(x)
    torch.testing.assert_close(y, nn.Conv2d.forward(conv, x))
    if not {'stride', 'padding', 'groups'} & cfg.keys() or cfg.get('padding') == 'same':
        assert 'aten::mkldnn_convolution' in {event.name for event in profile.events()}


def test_it_can_be_named_in_any_stock_head(build):
    shape = dict(in_channels=4, channels=8, num_classes=3, norm_cfg=dict(type='BN'))
    stock = build(type='ASPPHead', dilations=(1, 12), **shape)
    ours = build(type='ASPPHead', dilations=(1, 12), conv_cfg=dict(type='ValidTapConv2d'), **shape)
    ours.load_state_dict(stock.state_dict())
    x = [torch.randn(1, 4, 15, 15)]
    with torch.no_grad():
        torch.testing.assert_close(ours(x), stock(x))


class OwnConv2d(nn.Conv2d):
    pass


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        OwnConv2d(4, 5, 1),
    ).to(memory_format=torch.channels_last)


def test_all_convolutions_of_a_network_are_replaced_and_compute_the_same():
    ours, theirs = network(), network()
    speed_up_convs(ours)
    assert [type(conv) for conv in ours] == [ValidTapConv2d] * 3 + [OwnConv2d]
    x = torch.randn(1, 3, 19, 21).to(memory_format=torch.channels_last)
    results = []
    for model in (ours, theirs):
        y = model(x)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
    for mine, reference in zip(*results):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_an_optimizer_and_hooks_that_were_there_before_go_on():
    ours, theirs = network(), network()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (ours, theirs)]
    seen = []
    ours[2].register_forward_hook(lambda conv, inputs, output: seen.append(type(conv)))
    speed_up_convs(ours)
    x = torch.randn(1, 3, 19, 21)
    for model, optimizer in zip((ours, theirs), optimizers):
        model(x).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    assert not torch.equal(ours[0].weight, network()[0].weight)
    assert seen == [ValidTapConv2d]


def test_a_convolution_in_several_places_stays_one():
    conv = nn.Conv2d(4, 4, 1)
    model = nn.Sequential(conv, conv, nn.Sequential(conv))
    speed_up_convs(model)
    assert type(model[0]) is ValidTapConv2d
    assert model[0] is model[1] is model[2][0]


def test_an_exported_network_takes_other_sizes():
    ours = network()
    speed_up_convs(ours)
    traced = torch.jit.trace(ours.eval(), torch.randn(1, 3, 19, 21))
    x = torch.randn(1, 3, 31, 9)
    torch.testing.assert_close(traced(x), ours(x), rtol=1e-4, atol=1e-4)
