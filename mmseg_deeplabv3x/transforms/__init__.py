"""Registered transforms."""

from .random_native_scale import RandomNativeScale

__all__ = ['RandomNativeScale']
