"""speed_up_pointwise: other convolutions, the same results."""

import torch
from torch import nn

from mmseg_deeplabv3x.models.pointwise_conv import PointwiseConv2d, speed_up_pointwise


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Conv2d(4, 5, 1, padding='same', padding_mode='reflect', bias=False),
    )


def test_1x1_convolutions_are_replaced_and_compute_the_same():
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model.to(memory_format=torch.channels_last)
    speed_up_pointwise(ours)
    assert [type(m) is PointwiseConv2d for m in ours] == [True, False, False, False, False, True]
    x = torch.randn(1, 3, 19, 21).to(memory_format=torch.channels_last)
    results = []
    for model in (ours, theirs):
        y = model(x)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))])
    for mine, reference in zip(*results):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_an_exported_network_takes_other_sizes():
    ours = network()
    speed_up_pointwise(ours)
    traced = torch.jit.trace(ours.eval(), torch.randn(1, 3, 19, 21))
    x = torch.randn(1, 3, 31, 9)
    torch.testing.assert_close(traced(x), ours(x), rtol=1e-4, atol=1e-4)
