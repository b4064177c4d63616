"""Samples that do not depend on which worker makes them."""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmseg.registry import DATA_SAMPLERS

from .seeding import seed_generators


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """``InfiniteSampler``; each sample's random numbers follow from seed, pass and index alone.

    Upstream, a worker draws on from wherever its last sample left off: the augmentation of an
    image depends on the number of workers and on all that was drawn before. Here the generators of
    Python, NumPy and PyTorch (CPU) are seeded before each sample and put back after each batch. So
    a run is the same with any number of workers, may start in its middle, and does not share its
    random numbers with the model where there is no worker at all.

    Works with any dataset and wrapper: samples are told apart by their index in the outermost
    one, so an image that appears several times in a pass is augmented in several ways. The order
    of the samples is that of ``InfiniteSampler``. A transform with a generator of its own keeps it.

    Args:
        dataset: Loaders fetch its batches through ``__getitems__``, PyTorch's own protocol. This
            instance gets one that seeds for the indices of this sampler, and fetches all others as
            before; ``dataset[i]`` stays as it is. There is no way that sets nothing: a loader made
            by a runner builds its batches, fetches and collates itself, and without workers calls
            no ``worker_init_fn``. Only a wrapper or a batch sampler of our own would do, which
            every config would have to name.
        shuffle: Whether each pass has an order of its own.
        seed: Not negative. Default: one that all processes agree on; a runner gives its own.
    """

    def __init__(self, dataset, shuffle: bool = True, seed: int | None = None):
        super().__init__(dataset, shuffle, seed)
        dataset.__getitems__ = _SeededFetch(dataset)

    def _infinite_indices(self) -> 'Iterator[SeededIndex]':
        for position, index in enumerate(super()._infinite_indices()):
            index = SeededIndex(index)
            index.entropy = (self.seed, position // self.size, int(index))
            yield index


class SeededIndex(int):
    """An index that tells the random numbers of its sample.

    Attributes:
        entropy: Seed, pass (from 0) and index.
    """

    entropy: tuple[int, int, int]


class _SeededFetch:
    """Makes the samples of a batch, given their indices."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.fetch = getattr(dataset, '__getitems__', None) or self._one_by_one

    def __call__(self, indices: Sequence[int]) -> list:
        if not isinstance(indices[0], SeededIndex):  # of another loader
            return self.fetch(indices)
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            return [self._sample(index) for index in indices]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])

    def _sample(self, index):
        seed_generators(index.entropy)
        return self.fetch([index])[0]

    def _one_by_one(self, indices):
        return [self.dataset[index] for index in indices]
