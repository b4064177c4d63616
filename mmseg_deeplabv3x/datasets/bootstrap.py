"""Bootstrapping on hard images."""

import os
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from .class_index import count_labels, default_cache_file, id_table
from .file_backends import file_backend, first_leaf
from .wrapper import DatasetWrapper, check_whole_number


@DATASETS.register_module()
class BootstrapDataset(DatasetWrapper):
    """Let images that hold a hard class appear several times.

    The paper's model for the PASCAL VOC test server sees images with five hard classes more often
    (section 4.3): ``hard_classes=['bicycle', 'chair', 'diningtable', 'pottedplant', 'sofa']``.

    Which image holds what is read from the masks, once: see ``class_index``. In a
    distributed run rank 0 reads and the others receive.

    Args:
        dataset: A dataset of mmseg or a wrapper of such (also nested), or the config of one.
        hard_classes: Names from ``metainfo['classes']``, or ids, both after any ``label_map``.
        times: How often such an image appears; 1 changes nothing. The paper does not say: choose.
        min_pixels: An image holds a class from this number of pixels on. Default: any pixel.
        cache_file: Where the class index is kept (``.npz``). By default in the data root, or, if
            that is read-only, in the user's cache folder.
        lazy_init: Leave all reading to ``full_init``.

    Raises:
        ValueError: If a hard class is unknown or occurs in no image, ``times`` or ``min_pixels`` is
            no whole number of at least 1, or a mask is RGB or cannot be decoded.
        FileNotFoundError: If a mask is missing.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict,
        hard_classes: Sequence[str | int],
        times: int,
        min_pixels: int = 1,
        cache_file: str | os.PathLike | None = None,
        lazy_init: bool = False,
    ):
        check_whole_number('times', times)
        check_whole_number('min_pixels', min_pixels)
        self.times = times
        self.min_pixels = min_pixels
        self.cache_file = cache_file
        super().__init__(dataset, lazy_init=True)
        self.hard_ids = _class_ids(hard_classes, self._metainfo.get('classes', ()))
        if not lazy_init:
            self.full_init()

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """The classes that an image holds; the framework's ``ClassBalancedDataset`` asks."""
        return np.flatnonzero(self._holds[self.indices[idx]]).tolist()

    def _choose(self) -> np.ndarray:
        self._holds = self._count_pixels() >= self.min_pixels
        hard = self._holds[:, self.hard_ids]
        names = [self._metainfo['classes'][i] for i in self.hard_ids]
        images = dict(zip(names, hard.sum(axis=0)))
        for name, count in images.items():
            if count == 0:
                raise ValueError(
                    f'Hard class {name!r} occurs in none of the {len(hard)} images with '
                    f'min_pixels={self.min_pixels}.'
                )
        print_log(
            f'BootstrapDataset: {hard.any(axis=1).sum()} of {len(hard)} images appear '
            f'{self.times} times ({", ".join(f"{name} {n}" for name, n in images.items())}).',
            'current',
        )
        return np.repeat(np.arange(len(hard)), np.where(hard.any(axis=1), self.times, 1))

    def _count_pixels(self) -> np.ndarray:
        """Pixels of each class in each image of the wrapped dataset, (images, classes)."""
        infos = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        if any('seg_map_path' not in info for info in infos):
            cure = "give the wrapped dataset a data_prefix with 'seg_map_path'"
            raise ValueError(f'BootstrapDataset needs masks; {cure}.')
        masks = sorted({info['seg_map_path'] for info in infos})
        raw = dict(zip(masks, self._read_class_index(masks)))

        pixels = np.zeros((len(infos), len(self._metainfo['classes'])), np.int32)
        wide = pixels.shape[1] > 255
        for counted, info in zip(pixels, infos):
            count = raw[info['seg_map_path']]
            table = id_table(info['reduce_zero_label'], info.get('label_map'), len(count), wide)
            mapped = np.bincount(table, count, minlength=len(counted))
            counted[:] = mapped[: len(counted)]
        return pixels

    def _read_class_index(self, masks: list[str]) -> np.ndarray:
        """Raw counts (masks, ids) from rank 0, whose disk may be the only one with the cache."""
        shared = [None]
        if is_main_process():
            try:
                root = first_leaf(self.dataset).data_root or os.path.dirname(masks[0])
                cache_file = self.cache_file or default_cache_file(root)
                backend_args = file_backend(self.dataset, LoadAnnotations)
                shared[0] = count_labels(masks, cache_file, backend_args)
            except Exception as error:  # raised on every rank: the others would wait for ever
                shared[0] = error
        broadcast_object_list(shared)
        if isinstance(shared[0], Exception):
            raise shared[0]
        return shared[0]


def _class_ids(hard_classes: Sequence[str | int], classes: Sequence[str]) -> list[int]:
    """Ids of classes given by name or id, without repetition."""
    if isinstance(hard_classes, str) or not isinstance(hard_classes, Sequence) or not hard_classes:
        raise ValueError(f'hard_classes must be a list of names or ids, got {hard_classes!r}.')
    ids = {name: i for i, name in enumerate(classes)}
    ids.update((i, i) for i in range(len(classes)))
    for hard in hard_classes:
        if not isinstance(hard, (str, int)) or hard not in ids:
            known = ', '.join(classes)
            raise ValueError(f'Hard class {hard!r} is unknown; the dataset has {known}.')
    return sorted({ids[hard] for hard in hard_classes})
