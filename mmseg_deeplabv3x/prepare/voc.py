"""PASCAL VOC 2012: ``tools/prepare_data.py voc``.

Made: ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` and ``ImageSets/Segmentation/*.txt``, as in
the official archive. Masks that come painted in colours become palette images of ids.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from ..datasets.lists import read_split
from ..datasets.parallel import map_files
from ..datasets.voc_masks import read_voc_mask, save_voc_mask
from .download import DOWNLOADS, Remote, download
from .output import Output
from .sources import Sources, find_files

ROOT = 'data/VOCdevkit/VOC2012'
# The address is the one of Oxford's administrator (https://github.com/pytorch/vision/pull/9216),
# the checksum torchvision's.
ARCHIVE = Remote(
    'https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar',
    md5='6cd6e144f989b92b3379bac3b3de84fd',
)
# Images of the segmentation task. The test images come in an archive of their own, which the
# evaluation server gives to those who register.
COUNTS = dict(train=1464, val=1449, trainval=2913, test=1456)
OTHER_YEARS = {422: 2007, 1023: 2008, 1499: 2009, 1928: 2010, 2223: 2011}  # trainval

SPLITS = re.compile(r'(?:^|/)(ImageSets/Segmentation/(?:train|val|trainval|test)\.txt)$')
IMAGES = re.compile(r'(?:^|/)(JPEGImages/[^/]+\.jpg|SegmentationClass/[^/]+\.png)$')


def split_name(split: str) -> str:
    """The list of a split, relative to the root."""
    return f'ImageSets/Segmentation/{split}.txt'


def prepare_voc(
    root: str = ROOT,
    sources: Sources = (),
    downloads: str = DOWNLOADS,
    counts: Mapping[str, int] = COUNTS,
) -> str:
    """Put VOC 2012 where the configs expect it, and check it.

    Arguments, result and errors are those of :mod:`mmseg_deeplabv3x.prepare`.
    """
    with Output(root) as out:
        if not sources and not out.has(split_name('trainval')):
            sources = [download(ARCHIVE, downloads)]
        new_splits = dict(find_files(sources, SPLITS, lambda n: not out.has(n), out.scratch))
        splits = _read_splits(out, new_splits, counts)

        masks = {}
        for name, path in find_files(sources, IMAGES, lambda n: not out.has(n), out.scratch):
            if name.endswith('.jpg'):
                out.place(path, name)
            else:
                masks[name] = path
        for name in out.names('SegmentationClass/*.png'):
            if not _has_palette(out.path(name)):
                masks[name] = out.path(name)
        map_files(partial(_put_mask, out), list(masks.items()), 'Checking masks')

        for split, names in splits.items():
            needed = [f'JPEGImages/{name}.jpg' for name in names]
            if split != 'test':  # whose masks are not public
                needed += [f'SegmentationClass/{name}.png' for name in names]
            out.require(needed, split_name(split))
        for name, path in new_splits.items():
            out.place(path, name)
    return f'{root}: ' + ', '.join(f'{split} {len(names)}' for split, names in splits.items())


def _read_splits(
    out: Output, new: Mapping[str, Path], counts: Mapping[str, int]
) -> dict[str, list[str]]:
    """The names of each list that is there, checked."""
    splits, paths = {}, {}
    for split in counts:
        path = new.get(split_name(split)) or out.path(split_name(split))
        if path:
            splits[split], paths[split] = read_split(path), path
        elif split != 'test':
            raise FileNotFoundError(
                f'{split_name(split)} is neither in what --from names nor in {out.root}. Give '
                '--from VOCtrainval_11-May-2012.tar, or its folder VOC2012.'
            )
    year = OTHER_YEARS.get(len(splits['trainval']))
    for split, names in splits.items():
        if len(names) != counts[split]:
            reason = 'the list is cut short' if len(names) < counts[split] else 'names were added'
            if year:
                reason = f'these lists are those of VOC {year}'
            raise ValueError(
                f'{split_name(split)} of PASCAL VOC 2012 holds {counts[split]} names, this one '
                f'{len(names)}: {reason}. Give the official lists (found: {paths[split]}).'
            )
    if {*splits['train'], *splits['val']} != set(splits['trainval']):
        union = 'the union of train.txt and val.txt; give the lists of one release'
        raise ValueError(f'{paths["trainval"]} is not {union}.')
    return splits


def _has_palette(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode == 'P'


def _put_mask(out: Output, task: tuple[str, Path]) -> None:
    name, path = task
    ids = read_voc_mask(path)
    if _has_palette(path):
        out.place(path, name)
    else:
        with out.writing(name) as new:
            save_voc_mask(new, ids)
