"""The networks that ours are compared with: the same layers, somebody else's code."""

import copy
from collections.abc import Callable, Mapping

import torch
from mmcv.cnn import ConvModule
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNet
from mmseg.models.decode_heads import ASPPHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_deeplabv3x.atrous import aspp_rates, plan_network
from mmseg_deeplabv3x.paper.network import count_flops

STOCK = 'mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-40k_voc12aug-512x512.py'


class PaperSizedASPPHead(ASPPHead):
    """mmseg's head with the paper's projection, 1x1; with ``channels=256`` it has our layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.bottleneck = ConvModule(
            (len(self.dilations) + 1) * self.channels,
            self.channels,
            1,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )


def mmseg_model(depth: int, output_stride: int, own_head: bool, num_classes: int = 21) -> nn.Module:
    """Build mmseg's DeepLabV3 from its own config.

    Args:
        depth: Of the ResNet, 18, 50 or 101.
        output_stride: 8 or 16; mmseg's strides, dilations and ASPP rates follow.
        own_head: mmseg's head (512 channels, 3x3 projection) and auxiliary head, or one
            with the paper's layers and no auxiliary.
        num_classes: Default: VOC's 21.
    """
    init_default_scope('mmseg')
    cfg = get_config(STOCK).model
    block, blocks = ResNet.arch_settings[depth]
    plan = plan_network(output_stride, blocks)
    cfg.pretrained = None
    cfg.backbone.update(
        depth=depth,
        norm_cfg=dict(type='BN'),
        strides=tuple(block[0].stride for block in plan),
        dilations=tuple(block[-1].rate for block in plan),
    )
    cfg.decode_head.update(
        in_channels=512 * block.expansion,
        dilations=(1, *aspp_rates((6, 12, 18), output_stride)),
        norm_cfg=dict(type='BN'),
        num_classes=num_classes,
    )
    cfg.auxiliary_head.update(
        in_channels=256 * block.expansion, norm_cfg=dict(type='BN'), num_classes=num_classes
    )
    if not own_head:
        cfg.auxiliary_head = None
        cfg.decode_head.update(type=PaperSizedASPPHead, channels=256)
    return _build(cfg)


def our_model(
    depth: int,
    output_stride: int,
    channels_last: bool = False,
    compile_backbone: bool = False,
    num_classes: int = 21,
    **head,
) -> nn.Module:
    """Build ours, with the layers of :func:`mmseg_model` (deep stem, no Multi_Grid)."""
    init_default_scope('mmseg')
    model = dict(
        type='DeepLabV3',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(type='AtrousResNet', depth=depth, deep_stem=True),
        decode_head=dict(type='ImagePoolASPPHead', num_classes=num_classes, **head),
        output_stride=output_stride,
        channels_last=channels_last,
        compile_backbone=compile_backbone,
        train_cfg={},
    )
    return _build(ConfigDict(model))


def torchvision_model(depth: int, num_classes: int = 21) -> nn.Module | None:
    """Build torchvision's, at output_stride 8; None where it is not installed or has no such."""
    try:
        from torchvision.models import segmentation
    except ImportError:
        return None
    build = getattr(segmentation, f'deeplabv3_resnet{depth}', None)
    return build and build(weights=None, weights_backbone=None, num_classes=num_classes)


def gflop_of_all(variants: Mapping[str, Callable]) -> dict:
    """Of each network the work in one call, in 1e9 operations.

    Ours, which has the layers of mmseg's with the paper's head, is credited with the same work.

    Args:
        variants: By name, as ``model`` and ``train`` compare them.
    """
    same = count_flops(variants["mmseg, the paper's head"])
    return {
        name: (same if name.startswith('ours') else count_flops(variant)) / 1e9
        for name, variant in variants.items()
    }


def _build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg))
    return model.cuda() if torch.cuda.is_available() else model
