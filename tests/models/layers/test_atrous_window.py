"""Convolutions and poolings of any padding are exact at a rate, at every size."""

import copy

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_deeplabv3x.models.layers.atrous_window import AtrousAvgPool2d, window_padding


class Network(nn.Module):
    """Strides 8, 2, the layer's own, and 2."""

    def __init__(self, layer):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 8, 1)
        self.strided = nn.Conv2d(4, 4, 3, 2, 1)
        self.layer = layer
        self.last = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x):
        return self.last(self.layer(self.strided(self.stem(x))))


LAYERS = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, ceil_mode=True),
    nn.MaxPool2d((3, 2), 2, (1, 0), dilation=2),
    *(
        nn.AvgPool2d(size, 2, padding, ceil_mode, count)
        for size, padding in ((2, 0), (3, 1), ((3, 2), (0, 1)))
        for ceil_mode in (False, True)
        for count in (False, True)
    ),
    nn.AvgPool2d(3, 2, 1, divisor_override=5),
    nn.Conv2d(4, 4, 2, 2),
    nn.Conv2d(4, 4, (1, 4), 2, (0, 1)),
    nn.Conv2d(4, 4, 4, padding='same'),
    nn.Conv2d(4, 4, 3, padding='valid'),
]


def subsampled(fine, coarse):
    step = 1
    while any(-(-a // step) > b for a, b in zip(fine.shape[2:], coarse.shape[2:])):
        step *= 2
    return fine[..., ::step, ::step]


@pytest.mark.parametrize('layer', LAYERS, ids=str)
@torch.no_grad()
def test_is_exact_at_every_size(layer):
    plain = Network(layer)
    MODELS.register_module('Network', force=True, module=lambda: copy.deepcopy(plain))
    net = MODELS.build(dict(type='AtrousBackbone', backbone=dict(type='Network')))
    assert isinstance(net.layer, AtrousAvgPool2d) == isinstance(layer, nn.AvgPool2d)
    plain.double(), net.double()
    for height in range(64, 97):
        image = torch.randn(1, 3, height, 160 - height, dtype=torch.double)
        expected = plain(image)
        for output_stride in (8, 16, net.coarsest):
            net.set_output_stride(output_stride)
            found = subsampled(net(image), expected)
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        assert torch.equal(found, expected) or layer.padding in ('same', 'valid')


@pytest.mark.parametrize('kernel', [2, 3, 5])
@pytest.mark.parametrize('rate', [1, 2])
def test_same_padding_is_centred_where_the_stride_is_removed(kernel, rate):
    """As that of the plain layer on an odd side; on an even one that is half a position off."""
    geometry = dict(kernel=kernel, stride=2, padding='same', dilation=1, ceil_mode=False)
    odd, even = (
        window_padding(size, rate=rate, new_stride=1, **geometry) for size in (13 * rate, 12 * rate)
    )
    assert odd == even == (rate * ((kernel - 1) // 2), rate * (kernel // 2))
    assert window_padding(12, rate=1, new_stride=2, **geometry)[0] == max(kernel - 2, 0) // 2
