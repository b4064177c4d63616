"""What a run is made of beside network and data: hooks, optimizers, schedules, checkpoints."""

from .checkpoints import CheckpointBackend
from .hooks import (
    ExactResumeHook,
    FiniteStepHook,
    FolderVisualizationHook,
    GradientCompressionHook,
    ProgressLoggerHook,
    SafeCheckpointHook,
    SpeedUpHook,
    StopSignalHook,
    ThroughputHook,
)
from .loader_workers import init_worker_in_own_group
from .optimizers import AutocastOptimWrapper
from .schedulers import DeepLabPolyLR

__all__ = [
    'AutocastOptimWrapper',
    'CheckpointBackend',
    'DeepLabPolyLR',
    'ExactResumeHook',
    'FiniteStepHook',
    'FolderVisualizationHook',
    'GradientCompressionHook',
    'ProgressLoggerHook',
    'SafeCheckpointHook',
    'SpeedUpHook',
    'StopSignalHook',
    'ThroughputHook',
    'init_worker_in_own_group',
]
