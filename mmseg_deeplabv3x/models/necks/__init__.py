"""Registered necks."""

from .cascade_neck import CascadeNeck

__all__ = [
    'CascadeNeck',
]
