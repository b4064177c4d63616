"""Registered learning rate schedules."""

from .deeplab_poly_lr import DeepLabPolyLR
