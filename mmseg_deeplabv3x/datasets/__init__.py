"""Registered datasets, wrappers and samplers; how images, masks and lists are read."""

from .bootstrap import BootstrapDataset
from .camvid import CamVidDataset
from .fault_tolerant import FaultTolerantDataset
from .samplers import EqualSizeBatchSampler, SeededInfiniteSampler
from .shapes import ShapesDataset

__all__ = [
    'BootstrapDataset',
    'CamVidDataset',
    'EqualSizeBatchSampler',
    'FaultTolerantDataset',
    'SeededInfiniteSampler',
    'ShapesDataset',
]
