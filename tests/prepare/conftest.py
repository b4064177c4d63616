"""Small data sets in their real formats."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

VOC_COUNTS = dict(train=3, val=2, trainval=5, test=2)
SBD_COUNTS = {'SBD train': 4, 'SBD val': 3, 'VOC train': 3, 'VOC val': 2}
SBD_TOTAL = 7
SIZE = (12, 8)  # width and height


def save_jpg(path: Path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(colours).save(path)


def voc_ids(name: str, size=SIZE) -> np.ndarray:
    """Ids of every kind, other ones for every name."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.choice([*range(21), 255], size[::-1]).astype(np.uint8)


def save_voc_mask(path: Path, ids: np.ndarray, painted: bool = False):
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = devkit_palette()
    if painted:
        Image.fromarray(palette[ids]).save(path)
        return
    image = Image.fromarray(ids)
    image.putpalette(palette.tobytes())
    image.save(path)


def devkit_palette() -> np.ndarray:
    """VOC's colour map, as the devkit's VOClabelcolormap defines it, (256, 3)."""
    palette = np.zeros((256, 3), np.uint8)
    for i in range(256):
        rest = i
        for bit in range(7, -1, -1):
            for channel in range(3):
                palette[i, channel] |= ((rest >> channel) & 1) << bit
            rest >>= 3
    return palette


def write_list(path: Path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(names) + '\n')


def make_voc(folder: Path, painted=()) -> Path:
    """VOCdevkit/VOC2012 with 3 + 2 labelled images and 4 others."""
    root = folder / 'VOCdevkit/VOC2012'
    splits = dict(train=['t0', 't1', 't2'], val=['v0', 'v1'])
    splits['trainval'] = splits['train'] + splits['val']
    for split, names in splits.items():
        write_list(root / f'ImageSets/Segmentation/{split}.txt', names)
    for name in [*splits['trainval'], 's0', 's1', 's2', 's3']:
        save_jpg(root / f'JPEGImages/{name}.jpg')
    for name in splits['trainval']:
        save_voc_mask(root / f'SegmentationClass/{name}.png', voc_ids(name), name in painted)
    (root / 'Annotations').mkdir()
    (root / 'Annotations/t0.xml').write_text('<annotation/>')
    return root


def save_mat(path: Path, ids: np.ndarray):
    """One of SBD's cls/*.mat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    boundaries[:] = [[np.zeros((2, 2))]] * 20
    present = np.unique(ids[ids > 0]).reshape(-1, 1)
    gtcls = dict(Boundaries=boundaries, Segmentation=ids, CategoriesPresent=present)
    savemat(path, dict(GTcls=gtcls), do_compression=True)


def sbd_ids(name: str) -> np.ndarray:
    return voc_ids(f'sbd {name}') % 21


def make_sbd(folder: Path) -> Path:
    """benchmark_RELEASE/dataset; shares images with VOC's train and val."""
    root = folder / 'benchmark_RELEASE/dataset'
    splits = dict(train=['s0', 's1', 't0', 'v0'], val=['s2', 's3', 'v1'])
    for split, names in splits.items():
        write_list(root / f'{split}.txt', names)
        for name in names:
            save_mat(root / f'cls/{name}.mat', sbd_ids(name))
    return root


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder's content with its relative paths."""
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    if archive.suffix == '.zip':
        with zipfile.ZipFile(archive, 'w') as file:
            for path in files:
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, 'w:gz' if archive.suffix == '.tgz' else 'w') as file:
            file.add(folder, '.')
    return archive


def files_in(folder: Path) -> dict[str, bytes]:
    """What a folder holds, hidden files too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def make_camvid(folder: Path, splits=('train', 'val', 'test')) -> Path:
    """SegNet's layout, two images a split, each with void as 11."""
    for split in splits:
        for number in range(2):
            name = f'{split}{number}.png'
            save_jpg(folder / split / name)
            ids = np.random.default_rng(number).integers(0, 12, SIZE[::-1]).astype(np.uint8)
            (folder / f'{split}annot').mkdir(exist_ok=True)
            Image.fromarray(ids).save(folder / f'{split}annot' / name)
    return folder


def save_polygons(path: Path, objects, size=(20, 10)):
    """A Cityscapes file of polygons; an object is its label, its corners and further fields."""
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [dict(label=label, polygon=corners, **more) for label, corners, more in objects]
    path.write_text(json.dumps(dict(imgWidth=size[0], imgHeight=size[1], objects=items)))


@pytest.fixture(scope='session')
def small():
    """The functions above."""
    return SimpleNamespace(**globals())
