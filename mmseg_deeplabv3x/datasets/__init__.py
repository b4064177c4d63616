"""Registered datasets."""

from .bootstrap import BootstrapDataset
from .camvid import CamVidDataset
from .fault_tolerant import FaultTolerantDataset
from .shapes import ShapesDataset
from .shapes_generator import generate_shapes

__all__ = [
    'BootstrapDataset',
    'CamVidDataset',
    'FaultTolerantDataset',
    'ShapesDataset',
    'generate_shapes',
]
