"""Registered datasets."""

from .shapes import ShapesDataset
from .shapes_generator import generate_shapes

__all__ = ['ShapesDataset', 'generate_shapes']
