"""Registered samplers."""

from .equal_size_batch_sampler import EqualSizeBatchSampler
from .seeded_infinite_sampler import SeededInfiniteSampler
