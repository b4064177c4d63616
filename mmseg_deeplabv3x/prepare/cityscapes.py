"""Cityscapes: ``tools/prepare_data.py cityscapes``.

Made: ``leftImg8bit/SPLIT/CITY/*.png`` as in the official archives, and beside them
``gt{Fine,Coarse}/SPLIT/CITY/*_labelTrainIds.png``: the ids of the 19 evaluated classes, 255 for all
else. They are made from the official masks (``*_labelIds.png``) of every split that is given:
train, val, test, train_extra.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from mmseg.datasets import CityscapesDataset
from PIL import Image

from ..datasets.how_to_get import CITYSCAPES
from ..datasets.lists import first_few
from ..datasets.parallel import map_files
from ..datasets.reading import read_mask
from ..datasets.voc_masks import VOID
from .output import Output
from .sources import Sources, find_files

ROOT = 'data/cityscapes'
HOW_TO_GET = f'Cityscapes needs an account: {CITYSCAPES}, and name the archives with --from.'
COUNTS = dict(train=2975, val=500, test=1525, train_extra=19998)
# This image is all black; Cityscapes' download page advises to remove it.
BLACK = 'train_extra/troisdorf/troisdorf_000000_000073'

# Name of each label id, 0 to 33: https://github.com/mcordts/cityscapesScripts,
# cityscapesscripts/helpers/labels.py.
LABELS = (
    'unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic',
    'ground', 'road', 'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence',
    'guard rail', 'bridge', 'tunnel', 'pole', 'polegroup', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'caravan',
    'trailer', 'train', 'motorcycle', 'bicycle',
)  # fmt: skip
CLASSES = CityscapesDataset.METAINFO['classes']
TRAIN_IDS = {name: CLASSES.index(name) if name in CLASSES else VOID for name in LABELS}

FILES = re.compile(
    r'(?:^|/)(leftImg8bit/(?:train|val|test|train_extra)/[\w-]+/[\w-]+_leftImg8bit\.png'
    r'|gt(Fine|Coarse)/(?:train|val|test|train_extra)/[\w-]+/[\w-]+_gt\2_labelIds\.png)$'
)


def prepare_cityscapes(
    root: str = ROOT, sources: Sources = (), counts: Mapping[str, int] = COUNTS
) -> str:
    """Make the masks of train ids; arguments and errors as in :mod:`mmseg_deeplabv3x.prepare`.

    Without ``sources`` the official archives may lie unpacked in ``root``; they cannot be
    downloaded. Splits that are not given are left out, and the black image of train_extra may be.
    """
    with Output(root) as out:
        if not sources and not out.root.is_dir():
            raise FileNotFoundError(f'There is nothing at {root}. {HOW_TO_GET}')
        labels = []
        for name, path in find_files(
            sources or [out.root], FILES, lambda name: not out.has(made_of(name)), out.scratch
        ):
            if made_of(name) == name:
                out.place(path, name)
            else:
                labels.append((made_of(name), path))
        map_files(partial(_convert, out), labels, 'Making masks')
        found = _check_splits(out, counts)
    return f'{root}: ' + ', '.join(f'{split} {count}' for split, count in found.items())


def made_of(name: str) -> str:
    """What is made of a file: of an official mask another one, of an image itself."""
    return name.replace('_labelIds.png', '_labelTrainIds.png')


def train_ids(path: Path) -> np.ndarray:
    """Train ids, uint8 (H, W), of an official mask."""
    ids = read_mask(path)
    if ids.max() >= len(LABELS):
        known = f'the label ids of Cityscapes are 0 to {len(LABELS) - 1}'
        raise ValueError(f'{path} holds the id {ids.max()}; {known}.')
    return np.array([TRAIN_IDS[name] for name in LABELS], np.uint8)[ids]


def _convert(out: Output, task: tuple[str, Path]) -> None:
    name, path = task
    with out.writing(name) as new:
        Image.fromarray(train_ids(path)).save(new)


def _check_splits(out: Output, counts: Mapping[str, int]) -> dict[str, int]:
    """Images and masks that are there, by split; refuses half splits."""

    def there(kind: str, split: str, suffix: str = '') -> set[str]:
        names = out.names(f'{kind}/{split}/*/*_{kind}{suffix}.png')
        return {re.sub(rf'^{kind}/|_{kind}{suffix}\.png$', '', name) for name in names}

    found = {}
    for split, count in counts.items():
        images = there('leftImg8bit', split)
        removed = {BLACK} - images if split == 'train_extra' else set()
        if images and len(images) not in (count, count - len(removed)):
            reason = 'some are missing' if len(images) < count else 'some are not of Cityscapes'
            raise ValueError(
                f'leftImg8bit/{split} has {len(images)} images, not {count}: {reason}. '
                'Give all official archives with --from.'
            )
        masked = set()
        for kind in ('gtFine', 'gtCoarse'):
            masks = there(kind, split, '_labelTrainIds') - removed
            if masks and masks != images:
                raise FileNotFoundError(
                    f'{kind}/{split} has masks for {len(masks)} images, leftImg8bit/{split} has '
                    f'{len(images)} images; without a partner: {first_few(sorted(masks ^ images))}'
                    '. Give all official archives with --from.'
                )
            if masks:
                found[f'{kind} {split}'] = len(masks)
            masked |= masks
        if images and not masked:
            raise FileNotFoundError(f'leftImg8bit/{split} has images but no masks. {HOW_TO_GET}')
    if not found:
        raise FileNotFoundError(f'There are no images and masks of Cityscapes. {HOW_TO_GET}')
    return found
