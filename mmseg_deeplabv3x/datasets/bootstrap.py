"""Bootstrapping on hard images."""

import copy
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


@DATASETS.register_module()
class BootstrapDataset:
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
        for name, value in (('times', times), ('min_pixels', min_pixels)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be a whole number of at least 1, got {value!r}.')
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.times = times
        self.min_pixels = min_pixels
        self.cache_file = cache_file
        self._metainfo = self.dataset.metainfo
        self.hard_ids = _class_ids(hard_classes, self._metainfo.get('classes', ()))
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return copy.deepcopy(self._metainfo)

    def full_init(self) -> None:
        """Read the wrapped dataset and its class index."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        pixels = self._count_pixels()
        self._holds = pixels >= self.min_pixels
        hard = self._holds[:, self.hard_ids]
        self._check_and_report(hard)
        repeats = np.where(hard.any(axis=1), self.times, 1)
        self.indices = np.repeat(np.arange(len(repeats)), repeats)
        self._fully_initialized = True

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of one image.

        Args:
            idx: Index in this dataset.

        Returns:
            The wrapped dataset's annotation.
        """
        return self.dataset.get_data_info(int(self.indices[idx]))

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Classes of one image, as the framework's ``ClassBalancedDataset`` asks for them.

        Args:
            idx: Index in this dataset.

        Returns:
            Ids of the classes of which the image holds at least ``min_pixels`` pixels.
        """
        return np.flatnonzero(self._holds[self.indices[idx]]).tolist()

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        return self.dataset[int(self.indices[idx])]

    @force_full_init
    def __len__(self) -> int:
        return len(self.indices)

    def _count_pixels(self) -> np.ndarray:
        """Pixels of each class in each image of the wrapped dataset, (images, classes)."""
        infos = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        if any('seg_map_path' not in info for info in infos):
            raise ValueError(
                'BootstrapDataset needs masks; give the wrapped dataset a '
                "data_prefix with 'seg_map_path'."
            )
        masks = sorted({info['seg_map_path'] for info in infos})
        row = {mask: i for i, mask in enumerate(masks)}
        raw = self._read_class_index(masks)

        pixels = np.zeros((len(infos), len(self._metainfo['classes'])), np.int32)
        tables = {}
        for counted, info in zip(pixels, infos):
            label_map = info.get('label_map')
            key = info['reduce_zero_label'], str(label_map)
            if key not in tables:
                tables[key] = id_table(info['reduce_zero_label'], label_map)
            mapped = np.bincount(tables[key], raw[row[info['seg_map_path']]], minlength=256)
            counted[:] = mapped[: len(counted)]
        return pixels

    def _read_class_index(self, masks: list[str]) -> np.ndarray:
        """Raw counts (masks, 256) from rank 0, whose disk may be the only one with the cache."""
        shared = [None]
        if is_main_process():
            try:
                cache_file = self.cache_file or default_cache_file(
                    first_leaf(self.dataset).data_root or os.path.dirname(masks[0])
                )
                shared[0] = count_labels(
                    masks, cache_file, file_backend(self.dataset, LoadAnnotations)
                )
            except Exception as error:  # raised on every rank: the others would wait for ever
                shared[0] = error
        broadcast_object_list(shared)
        if isinstance(shared[0], Exception):
            raise shared[0]
        return shared[0]

    def _check_and_report(self, hard: np.ndarray) -> None:
        """Say which images appear more than once, given which hold which hard class."""
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


def _class_ids(hard_classes: Sequence[str | int], classes: Sequence[str]) -> list[int]:
    """Ids of classes given by name or id, without repetition."""
    if isinstance(hard_classes, str) or not isinstance(hard_classes, Sequence) or not hard_classes:
        raise ValueError(f'hard_classes must be a list of names or ids, got {hard_classes!r}.')
    ids = {name: i for i, name in enumerate(classes)}
    ids.update((i, i) for i in range(len(classes)))
    for hard in hard_classes:
        if not isinstance(hard, (str, int)) or hard not in ids:
            raise ValueError(
                f'Hard class {hard!r} is unknown; the dataset has {", ".join(classes)}.'
            )
    return sorted({ids[hard] for hard in hard_classes})
