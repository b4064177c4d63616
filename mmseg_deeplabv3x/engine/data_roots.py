"""Finds out that the data is not there before anything is built."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator

from mmengine.config import Config

# What to do about it. Our own data sets say so themselves, wherever they are used.
HOW_TO_GET = {
    'PascalVOCDataset': 'get VOCtrainval_11-May-2012.tar from '
    'http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it so that {root}/JPEGImages '
    'exists; the trained-on split train_aug also needs SegmentationClassAug (the SBD masks) and '
    'ImageSets/Segmentation/train_aug.txt there',
    'CityscapesDataset': 'get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from '
    'https://www.cityscapes-dataset.com, unpack them into {root} and make the trainId masks with '
    "mmseg's tools/dataset_converters/cityscapes.py",
}


def check_data_roots(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Refuse a config whose data is not there.

    Args:
        cfg (Config): A runner's config.
        loaders (tuple[str, ...]): The data loaders that will be used, such as 'test_dataloader'.

    Raises:
        FileNotFoundError: If a data set's root is missing; says how to get the data.
    """
    for loader in loaders:
        for dataset in _datasets(cfg.get(loader)):
            root, hint = dataset['data_root'], HOW_TO_GET.get(dataset.get('type'))
            if hint and not osp.isdir(root):
                raise FileNotFoundError(
                    f'{dataset["type"]} finds no folder {root}: {hint.format(root=root)}; or name '
                    f'your own place with --cfg-options {loader}.dataset.data_root=DIR.'
                )


def _datasets(cfg) -> Iterator[dict]:
    """Every data set in a config, through any wrapper around it."""
    if isinstance(cfg, dict):
        if cfg.get('data_root'):
            yield cfg
        for value in cfg.values():
            yield from _datasets(value)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _datasets(value)
