"""The network: pure modules, registered in mmseg's MODELS."""

from .backbones import AtrousBackbone, AtrousResNet
from .heads import ImagePoolASPPHead, UpsampledFCNHead
from .layers import ValidTapConv2d
from .necks import CascadeNeck
from .segmentors import DeepLabV3
from .tta import RunningMeanTTAModel

__all__ = [
    'AtrousBackbone',
    'AtrousResNet',
    'CascadeNeck',
    'DeepLabV3',
    'ImagePoolASPPHead',
    'RunningMeanTTAModel',
    'UpsampledFCNHead',
    'ValidTapConv2d',
]
