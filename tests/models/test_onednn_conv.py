"""use_onednn: other convolutions, the same results."""

import torch
from torch import nn

from mmseg_deeplabv3x.models.onednn_conv import OneDNNConv2d, use_onednn


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3, stride=2, padding=2, dilation=2, groups=2),
        nn.Conv2d(4, 4, 3, padding='same'),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'),
    )


def test_plain_convolutions_are_replaced_and_compute_the_same():
    ours, theirs = network(), network()
    use_onednn(ours)
    assert [type(m) is OneDNNConv2d for m in ours] == [True, True, False, False]
    x = torch.randn(1, 3, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_gradients_are_pytorchs_own():
    ours, theirs = network(), network()
    use_onednn(ours)
    x = torch.randn(1, 3, 9, 11)
    for model in (ours, theirs):
        model(x).sum().backward()
    assert torch.equal(ours[0].weight.grad, theirs[0].weight.grad)
