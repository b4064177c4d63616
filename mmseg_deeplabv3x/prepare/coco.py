"""COCO 2017 in VOC's classes, to train on before VOC: ``tools/prepare_data.py coco``.

Made, for mmseg's ``PascalVOCDataset``: ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` and
``ImageSets/Segmentation/{train,val}.txt``. COCO's train2017 is what the paper calls trainval minus
minival, val2017 is minival. An image is kept if more than ``min_pixels`` of it belong to VOC's
objects (1000 in the paper).

How a mask is painted: objects of VOC's classes from the largest region to the smallest, so that
where two overlap the smaller one is seen, as a person before a bus or a bottle on a table is. Crowd
regions of these classes lie below all of them as 255, ignored. All the rest is background, other
objects included, wherever no object of VOC's classes claims the place.
"""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.lists import read_split, write_split
from ..datasets.parallel import map_files
from ..datasets.reading import read_header
from ..datasets.voc_masks import VOID, read_voc_mask, save_voc_mask
from .download import DOWNLOADS, Remote, download
from .output import Output
from .sources import Sources, find_files
from .voc import split_name

ROOT = 'data/coco_voc'
# The checksums are those that users of the official files publish alike; COCO itself names none.
SITE = 'http://images.cocodataset.org'
ARCHIVES = (
    Remote(f'{SITE}/annotations/annotations_trainval2017.zip', 'f4bbac642086de4f52a3fdda2de5fa2c'),
    Remote(f'{SITE}/zips/val2017.zip', '442b8da7639aecaf257c1dceb8ba8c80'),
    Remote(f'{SITE}/zips/train2017.zip', 'cced6f7f71b7629ddf16f17bbcfab6b2'),
)
MIN_PIXELS = 1000
RECORD = 'coco.json'

# COCO's category id of each of VOC's classes, in VOC's order; background (0) has none.
CATEGORIES = (
    5, 2, 16, 9, 44,  # aeroplane, bicycle, bird, boat, bottle
    6, 3, 17, 62, 21,  # bus, car, cat, chair, cow
    67, 18, 19, 4, 1,  # diningtable, dog, horse, motorbike, person
    64, 20, 63, 7, 72,  # pottedplant, sheep, sofa, train, tvmonitor
)  # fmt: skip
VOC_IDS = {category: number for number, category in enumerate(CATEGORIES, start=1)}

ANNOTATIONS = re.compile(r'(?:^|/)annotations/instances_(train|val)2017\.json$')
IMAGES = re.compile(r'(?:^|/)((?:train|val)2017/[^/]+\.jpg)$')


def prepare_coco(
    root: str = ROOT,
    sources: Sources = (),
    downloads: str = DOWNLOADS,
    min_pixels: int = MIN_PIXELS,
) -> str:
    """Paint VOC's classes from COCO's instances, and keep the images that show enough of them.

    An image is kept if more than ``min_pixels`` of its pixels belong to VOC's objects; a ``root``
    that was made with another number is refused. Needs pycocotools. All else is as in
    :mod:`mmseg_deeplabv3x.prepare`.
    """
    with Output(root) as out:
        record = out.path(RECORD)
        found = json.loads(record.read_text())['min_pixels'] if record else min_pixels
        if found != min_pixels:  # images that were chosen differently do not mix
            raise ValueError(
                f'{out.root} was made with --min-pixels {found}, not {min_pixels}: choose another '
                '--root, or remove it.'
            )
        if not sources and not out.has(RECORD):
            import_pycocotools()  # before a long download
            sources = [download(archive, downloads) for archive in ARCHIVES]

        with_images = _splits_with_images(out, sources)
        annotations = dict(find_files(sources, ANNOTATIONS, with_images.__contains__, out.scratch))
        if set(annotations) != with_images or not (with_images or out.has(RECORD)):
            raise FileNotFoundError(
                f'COCO 2017 lacks annotations or images in {", ".join(map(str, sources))}; give '
                '--from annotations_trainval2017.zip train2017.zip val2017.zip, or a folder that '
                'holds annotations/instances_train2017.json and train2017/*.jpg.'
            )
        made = {}
        for split, path in annotations.items():
            coco = _read_annotations(path)
            paint_one = partial(_paint_one, out, coco, min_pixels)
            sizes = map_files(paint_one, list(coco.imgs.values()), f'Painting masks of {path.name}')
            kept = dict(size for size in sizes if size)
            _place_images(out, sources, kept)
            made[split] = sorted(kept)
        with out.writing(RECORD) as new:
            new.write_text(json.dumps(dict(min_pixels=min_pixels)))
        for split, names in made.items():
            with out.writing(split_name(split)) as new:
                write_split(new, names)
        paths = {split: out.path(split_name(split)) for split in ('train', 'val')}
        counts = [f'{split} {len(read_split(path))}' for split, path in paths.items() if path]
    return f'{root}: ' + ', '.join(counts)


def paint(coco, image: dict) -> np.ndarray:
    """VOC's class ids of an image of a ``pycocotools.coco.COCO``, uint8 (H, W), 255 in crowds."""
    regions = []
    for item in coco.imgToAnns[image['id']]:
        if item['category_id'] in VOC_IDS:
            crowd = bool(item.get('iscrowd'))
            value = VOID if crowd else VOC_IDS[item['category_id']]
            mask = mask_of(coco, item)
            regions.append((not crowd, -np.count_nonzero(mask), item['id'], value, mask))
    ids = np.zeros((image['height'], image['width']), np.uint8)
    for *_, value, mask in sorted(regions, key=lambda region: region[:3]):
        ids[mask] = value
    return ids


def mask_of(coco, item: dict) -> np.ndarray:
    """The region of an annotation, bool (H, W); refuses one that is damaged."""
    from pycocotools import mask as rle

    image = coco.imgs[item['image_id']]
    try:
        region = coco.annToRLE(item)
        if region['size'] != [image['height'], image['width']]:
            raise ValueError(f'its size is {region["size"]}')
        mask = rle.decode(region)
        # Where runs end before the image does, pycocotools leaves the rest uninitialized.
        if mask.sum(dtype=np.int64) != rle.area(region):
            raise ValueError('its run-length code is too short')
    except Exception as error:  # pycocotools raises bare ones
        raise ValueError(
            f'Annotation {item["id"]}, of {image["file_name"]} in COCO, is damaged ({error!r}).'
        ) from error
    return mask.astype(bool)


def import_pycocotools():
    """``pycocotools.coco.COCO``, or how to get it."""
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise ImportError(
            "COCO's annotations need pycocotools: pip install 'mmseg_deeplabv3x[coco]', or "
            'pip install pycocotools.'
        ) from error
    return COCO


def _splits_with_images(out: Output, sources: Sources) -> set[str]:
    """The splits that are not made yet and whose images are given."""
    splits = set()

    def note(name: str) -> bool:
        split = name.split('2017')[0]
        if not out.has(split_name(split)):
            splits.add(split)
        return False  # not yet: images that show none of VOC's objects stay in their archive

    for _ in find_files(sources, IMAGES, note, out.scratch):
        pass
    return splits


def _read_annotations(path: Path):
    try:
        coco = import_pycocotools()(str(path))
        for image in coco.imgs.values():
            if not re.fullmatch(r'[\w-]+\.jpg', image['file_name']):
                raise ValueError(f'the image name {image["file_name"]!r}')
            if not 0 < image['height'] * image['width'] <= Image.MAX_IMAGE_PIXELS:
                raise ValueError(f'an image of {image["width"]}x{image["height"]} pixels')
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(f'{path} is not an instances file of COCO ({error!r}).') from error
    lacking = set(CATEGORIES) - set(coco.cats)
    if lacking:
        kind = "one of COCO's instances files"
        raise ValueError(f'{path} has no category {min(lacking)}: it is not {kind}.')
    return coco


def _paint_one(out: Output, coco, min_pixels: int, image: dict) -> tuple[str, tuple] | None:
    """Make the mask of an image if it is kept; its name, and height and width."""
    items = coco.imgToAnns[image['id']]
    if all(item['category_id'] not in VOC_IDS or item.get('iscrowd') for item in items):
        return None
    name = Path(image['file_name']).stem
    mask = f'SegmentationClass/{name}.png'
    made = out.path(mask)
    ids = read_voc_mask(made) if made else paint(coco, image)
    if np.count_nonzero((ids > 0) & (ids < VOID)) <= min_pixels:
        return None
    if not made:
        with out.writing(mask) as new:
            save_voc_mask(new, ids)
    return name, (image['height'], image['width'])


def _place_images(out: Output, sources: Sources, sizes: dict[str, tuple[int, int]]) -> None:
    """Take over the images that are kept; refuses what does not fit its annotations."""
    needed = {name for name in sizes if not out.has(f'JPEGImages/{name}.jpg')}
    for file, path in find_files(sources, IMAGES, lambda f: Path(f).stem in needed, out.scratch):
        name = Path(file).stem
        size, _ = read_header(path)
        if size != sizes[name]:
            raise ValueError(
                f'{path} has {"x".join(map(str, size))} pixels, but its annotations say '
                f'{"x".join(map(str, sizes[name]))} (height x width).'
            )
        out.place(path, f'JPEGImages/{name}.jpg')
    out.require([f'JPEGImages/{name}.jpg' for name in sorted(sizes)], 'COCO')
