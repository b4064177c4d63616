"""What would not be exact is refused, by the name of the layer."""

import pytest
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import nn


class Hidden(nn.Module):
    """A pooling that is no layer, inside a unit."""

    def __init__(self, pool):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 16, 1)
        self.unit = Unit(pool)

    def forward(self, x):
        return self.unit(self.stem(x))


class Unit(nn.Module):
    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.conv = nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x):
        return self.pool(self.conv(x))


POOLS = [
    lambda x: F.max_pool2d(x, 3, 1, 1),
    lambda x: F.avg_pool2d(x, 3, 1, 1),
    lambda x: x.roll(1, 3),
    lambda x: x.flip(3),
]


@pytest.mark.parametrize('pool', POOLS)
def test_a_function_is_found_in_its_unit(pool):
    MODELS.register_module('Hidden', force=True, module=lambda: Hidden(pool))
    with pytest.raises(ValueError, match=r'its unit \(Unit\) does not compute at output_stride 8'):
        MODELS.build(dict(type='AtrousBackbone', backbone=dict(type='Hidden')))


def test_pointwise_functions_and_means_are_exact():
    MODELS.register_module(
        'Hidden', force=True, module=lambda: Hidden(lambda x: (x * 2).sigmoid() + x)
    )
    net = MODELS.build(dict(type='AtrousBackbone', backbone=dict(type='Hidden'), output_stride=8))
    assert net.unit.conv.dilation == (2, 2)


@pytest.mark.parametrize(
    'backbone,message',
    [
        (
            dict(type='SwinTransformer', embed_dims=12, num_heads=(1, 1, 1, 1)),
            'SwinTransformer: it stays at 32, .*a transformer has no rates',
        ),
        (
            dict(type='VisionTransformer', embed_dims=12, num_heads=1, num_layers=1),
            r'VisionTransformer: its output .* does not compute at output_stride 8',
        ),
        (
            dict(
                type='HRNet',
                extra={
                    f'stage{n}': dict(
                        num_modules=1,
                        num_branches=n,
                        block='BASIC' if n > 1 else 'BOTTLENECK',
                        num_blocks=(1,) * n,
                        num_channels=(4, 8, 16, 32)[:n],
                    )
                    for n in (1, 2, 3, 4)
                },
            ),
            r'HRNet: its stage3.0.fuse_layers.0.2.2 \(Upsample\) does not compute',
        ),
        (dict(type='MobileNetV3'), 'MobileNetV3 is built at output_stride 8, .* got 16'),
    ],
)
def test_what_is_not_exact_is_refused(build, backbone, message):
    with pytest.raises(ValueError, match=message):
        build(type='AtrousBackbone', backbone=backbone)
