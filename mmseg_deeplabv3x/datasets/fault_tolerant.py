"""Train on although some samples are bad."""

import logging

import torch
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from .reading import BadSampleError
from .wrapper import DatasetWrapper, check_whole_number


@DATASETS.register_module()
class FaultTolerantDataset(DatasetWrapper):
    """Let another sample stand in for one whose files are bad, a limited number of times.

    Bad is what ``LoadCheckedImage`` and ``LoadCheckedAnnotations`` refuse. The next good sample
    stands in, so that a run repeats. Each bad sample is logged once, with its number; what counts
    is how many different samples are bad, over all workers of a data loader. In a distributed run
    every process counts for itself.

    For training only: what stands in for a sample of an evaluation changes its result. Wrap the
    dataset itself, and this in ``BootstrapDataset`` and such: then no file counts twice.

    Args:
        dataset: A dataset of mmseg or a wrapper of such, or the config of one.
        on_bad_sample: 'raise' ends the run at the first one, and is the default since bad data
            should be repaired; 'skip' goes on.
        max_bad_samples: How many different samples may be skipped. The default is low: many bad
            samples are a mistake in the config or a broken disk, and no accident.
        lazy_init: Leave all reading to ``full_init``.

    Raises:
        ValueError: If ``on_bad_sample`` is neither of the two, or ``max_bad_samples`` is no whole
            number of at least 1; ``BadSampleError``, a ValueError, at a bad sample that may not be
            skipped.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict,
        on_bad_sample: str = 'raise',
        max_bad_samples: int = 10,
        lazy_init: bool = False,
    ):
        if on_bad_sample not in ('raise', 'skip'):
            raise ValueError(f"on_bad_sample must be 'raise' or 'skip', got {on_bad_sample!r}.")
        check_whole_number('max_bad_samples', max_bad_samples)
        self.on_bad_sample = on_bad_sample
        self.max_bad_samples = max_bad_samples
        super().__init__(dataset, lazy_init)

    def _choose(self) -> range:
        # in shared memory, so that all workers of a loader count together
        self._is_bad = torch.zeros(len(self.dataset), dtype=torch.bool).share_memory_()
        return super()._choose()

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        while True:
            try:
                return self.dataset[idx]
            except BadSampleError as error:
                if self.on_bad_sample == 'raise':
                    raise
                self._count(idx, error)
            idx = (idx + 1) % len(self)

    def _count(self, idx: int, error: BadSampleError) -> None:
        seen = bool(self._is_bad[idx])
        self._is_bad[idx] = True
        count = int(self._is_bad.sum())
        if count > self.max_bad_samples or count == len(self):
            raise BadSampleError(
                f'{count} of {len(self)} samples are bad, and max_bad_samples is '
                f'{self.max_bad_samples}. The last one: {error} tools/check_data.py finds all.',
                error.kind,
            ) from error
        if not seen:
            # an error, since the framework's logger mutes warnings of all processes but the first
            print_log(
                f'Skipped bad sample {count} of at most {self.max_bad_samples}: {error}',
                'current',
                logging.ERROR,
            )
