"""Registered visualizers."""

from .legend_visualizer import LegendVisualizer

__all__ = ['LegendVisualizer']
