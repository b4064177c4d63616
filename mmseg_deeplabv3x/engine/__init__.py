"""Registered engine: schedules, hooks and optimizer wrappers; the tools' logic is in ``cli``."""

from .autocast_optim_wrapper import AutocastOptimWrapper
from .checkpoint_backend import CheckpointBackend
from .equal_size_batch_sampler import EqualSizeBatchSampler
from .exact_resume_hook import ExactResumeHook
from .finite_step_hook import FiniteStepHook
from .gradient_compression_hook import GradientCompressionHook
from .loader_workers import init_worker_in_own_group
from .poly_lr import DeepLabPolyLR
from .progress_logger_hook import ProgressLoggerHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .safe_local_vis_backend import SafeLocalVisBackend
from .seeded_infinite_sampler import SeededInfiniteSampler
from .speed_up_hook import SpeedUpHook
from .stop_signal_hook import StopSignalHook
from .throughput_hook import ThroughputHook

__all__ = [
    'AutocastOptimWrapper',
    'CheckpointBackend',
    'DeepLabPolyLR',
    'EqualSizeBatchSampler',
    'ExactResumeHook',
    'FiniteStepHook',
    'GradientCompressionHook',
    'ProgressLoggerHook',
    'SafeCheckpointHook',
    'SafeLocalVisBackend',
    'SeededInfiniteSampler',
    'SpeedUpHook',
    'StopSignalHook',
    'ThroughputHook',
    'init_worker_in_own_group',
]
