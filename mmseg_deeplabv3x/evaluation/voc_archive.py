"""The archive that PASCAL VOC's evaluation server takes: ``tools/pack_voc.py``."""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..datasets.lists import first_few, read_split
from ..datasets.parallel import map_files
from ..datasets.voc_masks import VOID, read_ids, save_mask, size_of

# comp6: segmentation, trained on any data; ImageNet weights are outside data already.
FOLDER = 'results/VOC2012/Segmentation/comp6_test_cls'


def pack_voc(
    predictions: str | os.PathLike,
    root: str | os.PathLike,
    split: str | os.PathLike,
    out: str | os.PathLike,
) -> Path:
    """Pack predictions for the evaluation server.

    The same predictions give the same bytes.

    Args:
        predictions: Folder of ``NAME.png``: class ids, with or without a palette, or VOC's colours.
        root: VOC's root, whose ``JPEGImages`` tell the sizes.
        split: List of the names, such as ``ImageSets/Segmentation/test.txt``.
        out: The archive to write, a ``.tgz`` or ``.tar.gz``.

    Returns:
        The archive.

    Raises:
        FileNotFoundError: If a prediction, an image or the list is missing.
        ValueError: If there are predictions for other images, one has another size than its image,
            or holds what is no class; if ``out`` has another suffix.
    """
    predictions, root, out = Path(predictions), Path(root), Path(out)
    if not out.name.endswith(('.tgz', '.tar.gz')):
        raise ValueError(f'{out}: the server takes a .tgz or .tar.gz.')
    names = read_split(split)
    there = {path.stem for path in predictions.glob('*.png')}
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f'{predictions} lacks {len(missing)} of the {len(names)} images of {split}: '
            f'{first_few(missing)}.'
        )
    extra = sorted(there - set(names))
    if extra:
        raise ValueError(
            f'{predictions} holds {len(extra)} images that {split} does not name: '
            f'{first_few(extra)}.'
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
        aside = Path(folder)
        map_files(partial(_write, predictions, root, aside), names, 'Checking predictions')
        with open(aside / 'archive', 'wb') as file, gzip.GzipFile('', 'wb', 9, file, 0) as packed:
            _archive([aside / f'{name}.png' for name in names], packed)
        os.replace(aside / 'archive', out)
    return out


def _write(predictions: Path, root: Path, folder: Path, name: str) -> None:
    path, image = predictions / f'{name}.png', root / f'JPEGImages/{name}.jpg'
    if not image.is_file():
        raise FileNotFoundError(f'There is no {image}, which tells the size of {path}.')
    ids = read_ids(path)
    if ids.shape[::-1] != size_of(image):
        raise ValueError(
            f'{path} is {ids.shape[1]}x{ids.shape[0]}, but {image} is '
            f'{"x".join(map(str, size_of(image)))}.'
        )
    if ids.max() == VOID:
        raise ValueError(f'{path} holds {VOID}, void: the server wants a class for every pixel.')
    save_mask(folder / f'{name}.png', ids)


def _archive(images: list[Path], file: BinaryIO) -> None:
    """Write a tar that knows no time and no owner."""
    with tarfile.open(fileobj=file, mode='w') as archive:
        for path in images:
            info = tarfile.TarInfo(f'{FOLDER}/{path.name}')
            info.size = path.stat().st_size
            with open(path, 'rb') as image:
                archive.addfile(info, image)
