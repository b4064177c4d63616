"""Registered visualizers and their backends."""

from .legend_visualizer import LegendVisualizer
from .safe_local_vis_backend import SafeLocalVisBackend
