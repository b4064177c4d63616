"""Registered optimizer wrappers."""

from .autocast_optim_wrapper import AutocastOptimWrapper
