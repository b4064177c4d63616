"""Layers that several parts of the network share."""

from .valid_tap_conv import ValidTapConv2d
