"""The network: pure modules, registered in mmseg's MODELS."""

from .backbones import AtrousBackbone, AtrousResNet
from .heads import ImagePoolASPPHead, UpsampledFCNHead
from .layers import ValidTapConv2d
from .necks import CascadeNeck
from .segmentors import DeepLabV3
from .tta import RunningMeanTTAModel
