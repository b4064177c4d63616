"""Which mask belongs to which image, by name."""

import os
import posixpath
import re
from collections import defaultdict
from itertools import product
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..datasets.lists import first_few
from .sources import walk

SUFFIXES = (
    '.bmp', '.gif', '.jp2', '.jpeg', '.jpg', '.png', '.ppm', '.tga', '.tif', '.tiff', '.webp',
)  # fmt: skip
# What names end with beside the part that image and mask share. Of Cityscapes' masks those that are
# made for training come first.
_ENDINGS = (
    '[-_. ](masks?|labels?|gt|seg|segmentation|annotations?|leftimg8bit|'
    'gt(fine|coarse)_labeltrainids)$'
)
_LABEL_IDS = '_(leftimg8bit|gt(fine|coarse)_labelids)$'
_NO_ENDING = '(?!)'


class Pairs(NamedTuple):
    """Images and masks of two folders, relative to them, with slashes."""

    masks: dict[str, str]  # of each image that has one
    images_alone: list[str]
    masks_alone: list[str]


def find_pairs(images: str | os.PathLike, masks: str | os.PathLike) -> Pairs:
    """Match images and masks, in folders below, too.

    Names match whatever their suffix and case, also ``x.jpg`` and ``x_mask.png``, and ``x.jpg.png``
    is ``x``. First those at the same place in both folders, then those at different places. Several
    files that match one are refused.
    """
    if Path(images).resolve() == Path(masks).resolve():
        raise ValueError(f'{images} is the folder of images and of masks: separate them.')
    left = [_files(images), _files(masks)]
    found = {}
    endings = _NO_ENDING, _ENDINGS, _LABEL_IDS
    for place, ending in product((_place, lambda file: posixpath.basename(_place(file))), endings):
        sides = [defaultdict(list), defaultdict(list)]
        for side, files in zip(sides, left):
            for file in files:
                side[re.sub(ending, '', place(file))].append(file)
        for shared in sides[0].keys() & sides[1].keys():
            both = sides[0][shared], sides[1][shared]
            for folder, files in zip((images, masks), both):
                if len(files) > 1:
                    raise ValueError(
                        f'{folder} holds {first_few(files)}, and which of them belongs to '
                        f'{first_few(both[files is both[0]])} is not clear: rename or move them.'
                    )
            found[both[0][0]] = both[1][0]
        left = [sorted(set(left[0]) - found.keys()), sorted(set(left[1]) - set(found.values()))]
    if not found:
        raise FileNotFoundError(
            f'No mask in {masks} has the name of an image in {images}: images are named as '
            f'{first_few(left[0])}, masks as {first_few(left[1])}.'
        )
    return Pairs(dict(sorted(found.items())), *left)


def _files(folder: str | os.PathLike) -> list[str]:
    paths = [path.relative_to(folder) for path in walk(Path(folder))]
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
    names = [path.as_posix() for path in paths if not any(p.startswith('.') for p in path.parts)]
    if not names:
        raise FileNotFoundError(f'{folder} is no folder that holds images ({", ".join(SUFFIXES)}).')
    return names


def _place(file: str) -> str:
    path = PurePosixPath(file.lower())
    while path.suffix in SUFFIXES:  # also of x.jpg.png
        path = path.with_suffix('')
    return str(path)
