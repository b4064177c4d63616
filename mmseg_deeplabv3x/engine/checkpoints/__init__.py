"""Checkpoints: written whole, found again, and what a run needs to go on from one."""

from .checkpoint_backend import CheckpointBackend
