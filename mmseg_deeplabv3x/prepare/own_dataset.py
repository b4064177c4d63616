"""From folders of images and masks to a dataset that mmseg's ``BaseSegDataset`` reads.

Made: ``masks/<image>.png`` with class ids, 255 where there is no label, and ``train.txt`` and
``val.txt`` (``test.txt``) with the names of the images. The images stay where they are.
"""

import hashlib
import os
import posixpath
import random
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..datasets.lists import check_name, first_few, read_lines, write_split
from ..datasets.parallel import map_files
from ..datasets.reading import read_image
from .class_table import read_class_table
from .mask_classes import count_ids, find_classes, put_masks
from .output import fresh_output
from .pairs import find_pairs


class OwnDataset(NamedTuple):
    """What was made."""

    images: str  # their folder
    root: str  # of masks and lists
    classes: list[str]
    palette: list[tuple[int, int, int]]
    counts: dict[str, int]  # images of each split
    pixels: np.ndarray  # of each class in the images to train on
    size: tuple[int, int]  # of the median image, (H, W)
    said: list[str]  # what was found and decided, in sentences


def make_own_dataset(
    images: str,
    masks: str,
    root: str,
    classes: str | None = None,
    val_share: float = 0.2,
    group: str | None = None,
    seed: int = 0,
) -> OwnDataset:
    """Match, understand and split images and masks.

    Args:
        images: Folder of images.
        masks: Folder of masks: of ids, of 0 and 255, or painted.
        root: The folder to make; must not be there.
        classes: File of names and colours, see :func:`read_class_table`. Default: a labelmap.txt
            beside or in ``masks``, as CVAT writes; without one, the ids themselves.
        val_share: Share of the images to evaluate on, unless their folders say, or lists of VOC's
            beside them, ``ImageSets/Segmentation/train.txt`` and ``val.txt``. What one of them
            says is ``test`` is never drawn.
        group: Images whose names agree up to the last ``group`` are not split. Default: each image
            is its own, but those with the same pixels are never split.
        seed: Of the split.
    """
    out = fresh_output(root)
    if classes is None:
        tables = (Path(folder, 'labelmap.txt') for folder in (masks, Path(masks).parent))
        classes = next((path for path in tables if path.is_file()), None)
    table = read_class_table(classes) if classes else None
    pairs = find_pairs(images, masks)
    names = list(pairs.masks)
    for name in names:
        check_name(name, images)
    files = [Path(masks, mask) for mask in pairs.masks.values()]

    counts = count_ids(files, table)
    found = find_classes(counts, table, files)
    pixels = np.zeros((len(files), len(found.names)), np.int64)
    for row, count in zip(pixels, counts):
        for raw, number in count.items():
            if found.table[raw] < len(row):
                row[found.table[raw]] += number

    looked_at = map_files(lambda name: _look(Path(images, name)), names, 'Reading images')
    splits, how = given_split(names), 'as their folders say'
    if splits is None:
        splits, how = listed_split(images, names), f'as the lists in {VOC_LISTS} say'
    if splits is None:
        together = [[digest] for _, digest in looked_at]
        for keys, name in zip(together, names):
            folder, file = posixpath.split(name)
            if group and group in file:
                keys.append((folder, file.rpartition(group)[0]))
        splits, how = _drawn_beside_test(images, names, together, pixels > 0, val_share, seed)
    lists = {
        split: [name for name, part in zip(names, splits) if part == split]
        for split in dict.fromkeys(splits)
    }
    unlisted = lists.pop(None, ())
    with out:
        placed = {f'masks/{name}.png': file for name, file in zip(names, files)}
        put_masks(out, placed, table, found)
        for split, listed in lists.items():
            with out.writing(f'{split}.txt') as new:
                write_split(new, listed)

    counts = {split: len(lists[split]) for split in sorted(lists, key='train val test'.index)}
    listed = ', '.join(f'{split} {count}' for split, count in counts.items())
    said = [f'{len(names)} images with masks: {listed}, {how}.']
    if unlisted:
        said.append(f'{len(unlisted)} in none of these lists, left out: {first_few(unlisted)}.')
    both = (pairs.images_alone, images, 'mask'), (pairs.masks_alone, masks, 'image')
    for alone, folder, lacks in both:
        if alone:
            said.append(f'{len(alone)} in {folder} without {lacks}, left out: {first_few(alone)}.')
    doubled = len(names) - len({digest for _, digest in looked_at})
    if doubled:
        said.append(f'{doubled} images have the same pixels as another.')
    said += [f'Classes from {classes}.'] * bool(classes) + found.said
    trained = np.array(splits) == 'train'
    size = tuple(int(side) for side in np.median([shape for shape, _ in looked_at], axis=0))
    return OwnDataset(
        images, root, found.names, found.palette, counts, pixels[trained].sum(0), size, said
    )


def _look(path: Path) -> tuple[tuple[int, int], bytes]:
    """Height and width of an image, and what only images of the same pixels have in common."""
    image = read_image(path)
    return image.shape[:2], hashlib.blake2b(image, salt=str(image.shape).encode()[:16]).digest()


DRAWS = 100
VOC_LISTS = 'ImageSets/Segmentation'
SPLITS = dict(  # of the names that folders and lists have
    train='train', training='train', val='val', valid='val', validation='val', test='test',
    testing='test',
)  # fmt: skip


def given_split(names: Sequence[str]) -> list[str] | None:
    """The split of each image, where all lie in folders ``train`` and ``val`` (``test``, ...).

    'train', 'val' or 'test' for each; None if folders do not say.
    """
    splits = _folder_splits(names)
    return splits if None not in splits and {'train', 'val'} <= set(splits) else None


def _folder_splits(names: Sequence[str]) -> list[str | None]:
    return [SPLITS.get(name.split('/')[0].lower()) for name in names]


def listed_split(
    images: str, names: Sequence[str], needed: Sequence[str] = ('train', 'val')
) -> list[str | None] | None:
    """The split of each image by VOC's lists beside the folder, None for one in no list.

    None in all if a list that is ``needed`` is not there.
    """
    folder = Path(os.path.abspath(images)).parent / VOC_LISTS
    lists = {split: folder / f'{split}.txt' for split in ('train', 'val', 'test')}
    if not all(lists[split].is_file() for split in needed):
        return None
    splits = {}
    for path in filter(Path.is_file, lists.values()):
        for name in filter(None, read_lines(path)):
            if splits.setdefault(name, path.stem) != path.stem:
                raise ValueError(f'{name} is in {path} and in {splits[name]}.txt: leave one out.')
    found = [splits.get(posixpath.splitext(name)[0]) for name in names]
    for split in needed:
        if split not in (*found, 'test'):  # of which masks are often kept from everybody
            raise ValueError(f'{lists[split]} names none of the images with masks of {images}.')
    return found


def _drawn_beside_test(
    images: str,
    names: Sequence[str],
    together: Sequence[Sequence[Hashable]],
    holds: np.ndarray,
    share: float,
    seed: int,
) -> tuple[list[str | None], str]:
    """Draw train and val of what no folder and no list says is ``test``; says how.

    Beside a list ``test.txt``, of what ``train.txt`` names alone, where it is there.
    """
    splits, said = listed_split(images, names, ('train', 'test')), 'list says'
    if splits is None:
        listed = listed_split(images, names, ('test',)) or [None] * len(names)
        said = 'list says' if 'test' in listed else 'folder says'
        pairs = zip(listed, _folder_splits(names))
        splits = ['test' if 'test' in pair else 'train' for pair in pairs]
    drawn = [i for i, split in enumerate(splits) if split == 'train'] or range(len(names))
    parts = draw_split([together[i] for i in drawn], holds[drawn], share, seed)
    for i, part in zip(drawn, parts):
        splits[i] = part
    kept = f', test as its {said}' if 'test' in splits else ''
    return splits, f'drawn with seed {seed}{kept}'


def draw_split(
    together: Sequence[Sequence[Hashable]], holds: np.ndarray, share: float, seed: int
) -> list[str]:
    """Choose images to evaluate on, so that both parts hold each class if 100 draws find such ones.

    Images of which the keys in ``together`` agree in one stay together; ``holds`` tells which image
    holds which class, bool (images, classes). The share is as near as groups allow, at least one.
    """
    groups = _groups(together)
    if len(groups) < 2:
        raise ValueError(
            f'All {len(together)} images belong together (a --group, or the same pixels): nothing '
            'is left to evaluate on.'
        )
    wanted, rng, best = round(share * len(together)), random.Random(seed), None
    for _ in range(DRAWS):
        rng.shuffle(groups)
        chosen = list(groups[0])
        for group in groups[1:-1]:
            if len(chosen) + len(group) <= wanted:
                chosen += group
        is_val = np.isin(np.arange(len(together)), chosen)
        missing = (~holds[is_val].any(0)).sum() + (~holds[~is_val].any(0)).sum()
        score = missing, abs(len(chosen) - wanted)
        if best is None or score < best[0]:
            best = score, is_val
    return ['val' if val else 'train' for val in best[1]]


def _groups(together: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Images that are linked by keys, directly or over others."""
    numbers = {key: i for i, key in enumerate({key: 0 for keys in together for key in keys})}
    edges = [(i, len(together) + numbers[key]) for i, keys in enumerate(together) for key in keys]
    size = len(together) + len(numbers)
    graph = coo_matrix((np.ones(len(edges)), np.transpose(edges)), (size, size))
    group = connected_components(graph, directed=False)[1][: len(together)]
    return [np.flatnonzero(group == number).tolist() for number in np.unique(group)]
