"""Registered segmentors."""

from .deeplabv3 import DeepLabV3
