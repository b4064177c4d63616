"""The network: pure modules, registered in mmseg's MODELS."""

from .backbone import AtrousResNet
from .head import ImagePoolASPPHead
from .neck import CascadeNeck
from .segmentor import DeepLabV3
from .tta import RunningMeanTTAModel
from .valid_tap_conv import ValidTapConv2d

__all__ = [
    'AtrousResNet',
    'CascadeNeck',
    'DeepLabV3',
    'ImagePoolASPPHead',
    'RunningMeanTTAModel',
    'ValidTapConv2d',
]
