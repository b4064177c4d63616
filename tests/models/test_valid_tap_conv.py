"""ValidTapConv2d: a Conv2d in everything but the time it takes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

FEWER, SAME = True, False


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
    # in float64: FlopCounterMode does not see what oneDNN computes in float32
    ours = build(type='ValidTapConv2d', **cfg).double()
    theirs = torch.nn.Conv2d(**cfg).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    flops = []
    with torch.no_grad():
        for conv in (ours, theirs):
            with FlopCounterMode(display=False) as counter:
                result = conv(x)
            flops.append(counter.get_total_flops())
        torch.testing.assert_close(ours(x), result)
    assert (flops[0] < flops[1]) == products


def test_it_can_be_named_in_any_stock_head(build):
    shape = dict(in_channels=4, channels=8, num_classes=3, norm_cfg=dict(type='BN'))
    stock = build(type='ASPPHead', dilations=(1, 12), **shape)
    ours = build(type='ASPPHead', dilations=(1, 12), conv_cfg=dict(type='ValidTapConv2d'), **shape)
    ours.load_state_dict(stock.state_dict())
    x = [torch.randn(1, 4, 15, 15)]
    with torch.no_grad():
        torch.testing.assert_close(ours(x), stock(x))
