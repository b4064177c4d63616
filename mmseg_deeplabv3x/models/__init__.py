"""The network: pure modules, registered in mmseg's MODELS."""

from .backbone import AtrousResNet
from .fcn_head import UpsampledFCNHead
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
    'UpsampledFCNHead',
    'ValidTapConv2d',
]
