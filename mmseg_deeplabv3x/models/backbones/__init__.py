"""Registered backbones."""

from .atrous_resnet import AtrousResNet

__all__ = [
    'AtrousResNet',
]
