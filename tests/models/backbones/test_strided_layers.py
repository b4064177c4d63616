"""The layers that an output_stride changes, and the units of the last stage."""

import pytest
from mmseg.registry import MODELS
from torch import nn


def atrous(build, backbone, **cfg):
    return build(type='AtrousBackbone', backbone=backbone, **cfg)


def test_multi_grid_needs_units(build):
    v2 = dict(type='MobileNetV2', widen_factor=0.25)
    net = atrous(build, v2, multi_grid=(1, 2, 4))
    rates = [unit.conv[1].conv.dilation[0] for unit in net.layer6]
    assert rates == [1, 4, 8]  # at output_stride 16 the stage's rate is 2, before its stride 1
    with pytest.raises(
        ValueError, match=r'\(1, 2\) is not .* each of the 3 units .* layer6.0, lay'
    ):
        atrous(build, v2, multi_grid=(1, 2))
    mscan = dict(
        type='MSCAN', embed_dims=[8, 16, 24, 32], depths=[1, 1, 1, 1], norm_cfg=dict(type='BN')
    )
    with pytest.raises(ValueError, match='which patch_embed4.proj does not begin'):
        atrous(build, mscan, multi_grid=(1, 2))


class Shared(nn.Module):
    """One layer at two strides."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 8, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(self.pool(self.stem(x)))


def test_a_layer_at_two_strides_is_refused(build):
    MODELS.register_module('Shared', force=True, module=Shared)
    with pytest.raises(ValueError, match=r'its pool is used at strides \(8, 16\) and \(16, 32\)'):
        atrous(build, dict(type='Shared'))
