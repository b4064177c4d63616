"""Registered engine: schedules, hooks and optimizer wrappers; the tools' logic is in ``cli``."""

from .autocast_optim_wrapper import AutocastOptimWrapper
from .poly_lr import DeepLabPolyLR
from .progress_logger_hook import ProgressLoggerHook
from .seeded_infinite_sampler import SeededInfiniteSampler
from .speed_up_hook import SpeedUpHook

__all__ = [
    'AutocastOptimWrapper',
    'DeepLabPolyLR',
    'ProgressLoggerHook',
    'SeededInfiniteSampler',
    'SpeedUpHook',
]
