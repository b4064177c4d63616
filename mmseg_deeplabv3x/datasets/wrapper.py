"""What our dataset wrappers have in common."""

import copy
from collections.abc import Sequence

from mmengine.dataset import BaseDataset, force_full_init
from mmseg.registry import DATASETS


class DatasetWrapper:
    """A dataset whose images are those of another one, which may be given as its config."""

    def __init__(self, dataset: BaseDataset | dict, lazy_init: bool):
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self._metainfo = self.dataset.metainfo
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return copy.deepcopy(self._metainfo)

    def full_init(self) -> None:
        """Read the wrapped dataset."""
        if not self._fully_initialized:
            self.dataset.full_init()
            self.indices = self._choose()
            self._fully_initialized = True

    def _choose(self) -> Sequence[int]:
        """The wrapped dataset's index of each image; called once, when that has been read."""
        return range(len(self.dataset))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The wrapped dataset's annotation of the image with this index here."""
        return self.dataset.get_data_info(int(self.indices[idx]))

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        return self.dataset[int(self.indices[idx])]

    @force_full_init
    def __len__(self) -> int:
        return len(self.indices)


def check_whole_number(name: str, value: int) -> None:
    """Refuse an argument, with a ValueError, that is no whole number of at least 1."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f'{name} must be a whole number of at least 1, got {value!r}.')
