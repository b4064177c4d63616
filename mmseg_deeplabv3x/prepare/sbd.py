"""VOC's train_aug with the masks of SBD: ``tools/prepare_data.py sbd``.

Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011: masks of 11,355 images of
VOC 2011. train_aug is (SBD's train and val, and VOC's train) without VOC's val. Made under VOC's
root: ``SegmentationClassAug/*.png``, one mask for each image of train_aug, and
``ImageSets/Segmentation/train_aug.txt``. An image of VOC's train keeps VOC's own mask.
"""

import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from ..datasets.lists import read_split, write_split
from ..datasets.parallel import map_files
from ..datasets.reading import check_size, read_header
from ..datasets.voc_masks import NUM_CLASSES, save_voc_mask
from .download import DOWNLOADS, Remote, download
from .output import Output
from .sources import Sources, find_files
from .voc import ROOT, split_name

# The checksum is the one that torchvision publishes.
ARCHIVE = Remote(
    'https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/'
    'benchmark.tgz',
    md5='82b4d87ceb2ed10f6038a1cba92111cb',
)
COUNTS = {'SBD train': 8498, 'SBD val': 2857, 'VOC train': 1464, 'VOC val': 1449}
NUM_TRAIN_AUG = 10582

_mask = 'SegmentationClassAug/{}.png'.format
# Not those in the demo of the benchmark's code, beside dataset/.
SPLITS = re.compile(r'(?:^|dataset/)((?:train|val)\.txt)$')
MASKS = re.compile(r'(?:^|dataset/)cls/([^/]+)\.mat$')


def prepare_sbd(
    root: str = ROOT,
    sources: Sources = (),
    downloads: str = DOWNLOADS,
    counts: Mapping[str, int] = COUNTS,
    total: int = NUM_TRAIN_AUG,
) -> str:
    """Make the masks and the list of train_aug.

    ``root`` is VOC's, prepared before; ``counts`` and ``total`` are the lengths of the four lists
    and of train_aug. All else is as in :mod:`mmseg_deeplabv3x.prepare`.
    """
    with Output(root) as out:
        for split in ('train', 'val'):
            if not out.has(split_name(split)):
                raise FileNotFoundError(
                    f'There is no {split_name(split)} in {root}: run `prepare_data.py voc` first.'
                )
        if not sources and not out.has(split_name('train_aug')):
            sources = [download(ARCHIVE, downloads)]
        if sources:
            _make(out, sources, counts, total)
        names = read_split(out.path(split_name('train_aug')))
        if len(names) != total:
            raise ValueError(
                f'{out.path(split_name("train_aug"))} holds {len(names)} names, not {total}: it '
                'was not made from the official lists. Remove it and run this again.'
            )
        needed = [f'JPEGImages/{name}.jpg' for name in names] + [_mask(name) for name in names]
        out.require(needed, 'train_aug (images of VOC, masks of SBD)')
    return f'{root}: train_aug {len(names)}'


def train_aug_names(
    lists: Mapping[str, Collection[str]],
    counts: Mapping[str, int] = COUNTS,
    total: int = NUM_TRAIN_AUG,
) -> list[str]:
    """The names of train_aug, sorted: all that is labelled in ``lists``, without VOC's val.

    Refuses, by a ValueError, more or fewer than ``total``, and says which list is the reason.
    """
    labelled = {*lists['SBD train'], *lists['SBD val'], *lists['VOC train']}
    names = sorted(labelled - set(lists['VOC val']))
    if len(names) != total:
        reasons = [
            f'{key} holds {len(lists[key])} names, not {count}'
            for key, count in counts.items()
            if len(lists[key]) != count
        ]
        reason = '; '.join(reasons) or 'the lists have their lengths, but not the official names'
        raise ValueError(
            f'train_aug would hold {len(names)} names, not {total}: {reason}. Give the lists of '
            f'{ARCHIVE.url} and of VOC 2012.'
        )
    return names


def _make(out: Output, sources: Sources, counts: Mapping[str, int], total: int) -> None:
    lists = {key: read_split(out.path(split_name(key[4:]))) for key in ('VOC train', 'VOC val')}
    found = dict(find_files(sources, SPLITS, lambda name: True, out.scratch))
    for split in ('train', 'val'):
        if f'{split}.txt' not in found:
            raise FileNotFoundError(
                f"SBD's {split}.txt is missing; give --from benchmark.tgz, or its folder "
                'benchmark_RELEASE/dataset.'
            )
        lists[f'SBD {split}'] = read_split(found[f'{split}.txt'])
    names = train_aug_names(lists, counts, total)

    for name in lists['VOC train']:
        if not out.has(_mask(name)):
            out.place(out.root / f'SegmentationClass/{name}.png', _mask(name))
    needed = {name for name in names if not out.has(_mask(name))}
    mats = list(find_files(sources, MASKS, needed.__contains__, out.scratch))
    missing = needed - {name for name, _ in mats}
    if missing:
        raise FileNotFoundError(
            f'SBD lacks the masks of {len(missing)} images of train_aug, such as '
            f'cls/{min(missing)}.mat; name a complete copy with --from.'
        )
    map_files(partial(_convert, out), mats, 'Converting masks')
    if not out.has(split_name('train_aug')):
        with out.writing(split_name('train_aug')) as new:
            write_split(new, names)


def _convert(out: Output, task: tuple[str, Path]) -> None:
    name, path = task
    ids = read_mat(path)
    image = out.path(f'JPEGImages/{name}.jpg')
    if image:
        check_size(path, ids.shape, image, read_header(image)[0])
    with out.writing(_mask(name)) as new:
        save_voc_mask(new, ids)


def read_mat(path: Path) -> np.ndarray:
    """Read the class ids, uint8 (H, W) without void, of one of SBD's ``cls/*.mat``."""
    try:
        ids = loadmat(path, variable_names=['GTcls'])['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # the reader raises many kinds
        lacks = f'it has no GTcls.Segmentation ({error!r})'
        raise ValueError(f'{path} is not a mask of SBD: {lacks}.') from error
    if ids.ndim != 2 or ids.size == 0 or ids.max() >= NUM_CLASSES or ids.min() < 0:
        expected = f'ids from 0 to {NUM_CLASSES - 1}, (H, W)'
        raise ValueError(f'{path}: GTcls.Segmentation must be {expected}.')
    return ids.astype(np.uint8)
