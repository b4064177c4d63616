"""Registered metrics, and what evaluations are counted and packed with."""

from .confusion_iou_metric import ConfusionIoUMetric
