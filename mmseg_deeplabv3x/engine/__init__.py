"""Registered engine: schedules and optimizer wrappers; the tools' logic is in ``cli``."""

from .autocast_optim_wrapper import AutocastOptimWrapper
from .poly_lr import DeepLabPolyLR

__all__ = ['AutocastOptimWrapper', 'DeepLabPolyLR']
