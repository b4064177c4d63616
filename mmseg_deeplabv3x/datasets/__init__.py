"""Registered datasets."""

from .camvid import CamVidDataset
from .shapes import ShapesDataset
from .shapes_generator import generate_shapes

__all__ = ['CamVidDataset', 'ShapesDataset', 'generate_shapes']
