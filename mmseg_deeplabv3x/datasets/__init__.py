"""Registered datasets, wrappers and samplers; how images, masks and lists are read."""

from .bootstrap import BootstrapDataset
from .fault_tolerant import FaultTolerantDataset
from .local_dataset import CamVidDataset, ShapesDataset
from .samplers import EqualSizeBatchSampler, SeededInfiniteSampler
