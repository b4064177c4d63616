"""What a run is made of beside network and data: hooks, optimizers, schedules, loops and so on."""

from . import loader_workers
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
from .loops import AsyncReplicaLoop
from .optimizers import AutocastOptimWrapper
from .schedulers import DeepLabPolyLR
