"""Registered necks."""

from .cascade_neck import CascadeNeck
