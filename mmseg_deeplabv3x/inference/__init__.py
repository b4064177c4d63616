"""Prediction on images of one's own, in Python: ``DeepLabV3Predictor`` and what it gives."""

from .predictor import DeepLabV3Predictor
from .segmentation import Segmentation

__all__ = ['DeepLabV3Predictor', 'Segmentation']
