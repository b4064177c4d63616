"""Registered hooks, one a file."""

from .exact_resume_hook import ExactResumeHook
from .finite_step_hook import FiniteStepHook
from .folder_visualization_hook import FolderVisualizationHook
from .gradient_compression_hook import GradientCompressionHook
from .progress_logger_hook import ProgressLoggerHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .speed_up_hook import SpeedUpHook
from .stop_signal_hook import StopSignalHook
from .throughput_hook import ThroughputHook
