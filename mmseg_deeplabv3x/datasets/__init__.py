"""Registered datasets."""

from .bootstrap import BootstrapDataset
from .camvid import CamVidDataset
from .shapes import ShapesDataset
from .shapes_generator import generate_shapes

__all__ = ['BootstrapDataset', 'CamVidDataset', 'ShapesDataset', 'generate_shapes']
