"""Registered metrics and visualizers."""

from .confusion_iou_metric import ConfusionIoUMetric
from .legend_visualizer import LegendVisualizer

__all__ = ['ConfusionIoUMetric', 'LegendVisualizer']
