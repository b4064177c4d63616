"""Registered backbones."""

from .atrous_backbone import AtrousBackbone
from .atrous_resnet import AtrousResNet
