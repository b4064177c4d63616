"""The archive that PASCAL VOC's evaluation server takes: ``tools/pack_voc.py``."""

import gzip
import io
import os
import tarfile
from functools import partial
from pathlib import Path

from ..datasets.lists import first_few, read_split
from ..datasets.parallel import map_files
from ..datasets.reading import check_size, read_header
from ..datasets.voc_masks import VOID, read_voc_mask, save_voc_mask
from ..files import written_aside

# comp6: segmentation, trained on any data; ImageNet weights are outside data already.
FOLDER = 'results/VOC2012/Segmentation/comp6_test_cls'


def pack_voc(
    predictions: str | os.PathLike,
    root: str | os.PathLike,
    split: str | os.PathLike,
    out: str | os.PathLike,
) -> Path:
    """Pack predictions for the evaluation server. The same predictions give the same bytes.

    Args:
        predictions: Folder of ``NAME.png``: class ids, with or without a palette, or VOC's colours.
        root: VOC's root, whose ``JPEGImages`` tell the sizes.
        split: List of the names, such as ``ImageSets/Segmentation/test.txt``.
        out: The archive to write, a ``.tgz`` or ``.tar.gz``.

    Returns:
        The archive.
    """
    predictions, root, out = Path(predictions), Path(root), Path(out)
    if not out.name.endswith(('.tgz', '.tar.gz')):
        raise ValueError(f'{out}: the server takes a .tgz or .tar.gz.')
    names = read_split(split)
    there = {path.stem for path in predictions.glob('*.png')}
    missing, extra = sorted(set(names) - there), sorted(there - set(names))
    if missing:
        lacks = f'lacks {len(missing)} of the {len(names)} images of {split}'
        raise FileNotFoundError(f'{predictions} {lacks}: {first_few(missing)}.')
    if extra:
        holds = f'holds {len(extra)} images that {split} does not name'
        raise ValueError(f'{predictions} {holds}: {first_few(extra)}.')
    masks = map_files(partial(_mask, predictions, root), names, 'Checking predictions')
    with (
        written_aside(out) as aside,
        open(aside, 'wb') as file,
        gzip.GzipFile('', 'wb', 9, file, 0) as packed,  # without a name and a time
        tarfile.open(fileobj=packed, mode='w') as archive,
    ):
        for name, mask in zip(names, masks):
            info = tarfile.TarInfo(f'{FOLDER}/{name}.png')  # without a time and an owner
            info.size = len(mask)
            archive.addfile(info, io.BytesIO(mask))
    return out


def _mask(predictions: Path, root: Path, name: str) -> bytes:
    """A prediction as the server takes it."""
    path, image = predictions / f'{name}.png', root / f'JPEGImages/{name}.jpg'
    if not image.is_file():
        raise FileNotFoundError(f'{image} does not exist; the size of {path} is checked with it.')
    ids = read_voc_mask(path)
    check_size(path, ids.shape, image, read_header(image)[0])
    if ids.max() == VOID:
        raise ValueError(f'{path} holds {VOID}, void: the server wants a class for every pixel.')
    content = io.BytesIO()
    save_voc_mask(content, ids)
    return content.getvalue()
