"""Finds out that the data is not there before anything is built."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator

from mmengine.config import Config

# What to do about it. Our own datasets say so themselves, wherever they are used.
HOW_TO_GET = {
    'PascalVOCDataset': '`python tools/prepare_data.py voc --root {root}` makes it (`sbd` in place '
    "of `voc`: train_aug and its masks; `coco`: COCO in VOC's classes)",
    'CityscapesDataset': '`python tools/prepare_data.py cityscapes --root {root} --from ARCHIVES` '
    'makes it of leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from '
    'https://www.cityscapes-dataset.com',
}


def check_data_roots(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Refuse a config whose data is not there.

    Args:
        cfg: A runner's config.
        loaders: The data loaders that will be used, such as 'test_dataloader'.

    Raises:
        FileNotFoundError: If a dataset's root, list of images or folder is missing; says how to
            get the data.
    """
    for loader in loaders:
        for key, dataset in _datasets(cfg.get(loader), loader):
            hint = HOW_TO_GET.get(dataset.get('type'))
            missing = [path for path in _paths(dataset) if not osp.exists(path)]
            if hint and missing:
                root = dataset['data_root']
                raise FileNotFoundError(
                    f'{dataset["type"]} finds no {missing[0]}: {hint.format(root=root)}; or name '
                    f'your own place as {key}.data_root in the config.'
                )


def _paths(dataset: dict) -> list[str]:
    """What a dataset reads, from its root down."""
    parts = ['', dataset.get('ann_file') or '', *(dataset.get('data_prefix') or {}).values()]
    return [
        osp.join(dataset['data_root'], part) if part else dataset['data_root'] for part in parts
    ]


def _datasets(cfg, key: str) -> Iterator[tuple[str, dict]]:
    """Every dataset in a config with its dotted key, through any wrapper around it."""
    if isinstance(cfg, dict):
        if cfg.get('data_root'):
            yield key, cfg
        for name, value in cfg.items():
            yield from _datasets(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for i, value in enumerate(cfg):
            yield from _datasets(value, f'{key}[{i}]')
