"""What annotation tools write, turned into masks once: ``tools/prepare_data.py labelme`` and such.

Made, for ``tools/new_config.py``: ``images/``, as they are; ``masks/<image>.png``, of class ids;
``labelmap.txt``, their names and colours. Later shapes lie over earlier ones, as the tools show and
export them. Arguments, result and errors are those of :mod:`mmseg_deeplabv3x.prepare`, but ``root``
must not be there yet, and nothing is downloaded.
"""

import base64
import io
import json
import math
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..datasets.lists import first_few
from ..datasets.parallel import map_files
from ..datasets.reading import FORMATS
from ..datasets.voc_masks import WIDE_VOID, save_mask, voc_colours, void_of
from .class_table import NO_CLASS, class_table_text
from .coco import import_pycocotools, mask_of
from .output import Output, fresh_output
from .pairs import SUFFIXES
from .sources import Sources, find_files

ROOT = 'data/annotated'
_BACKGROUND = {'background', '_background_'}
_AREAS = {'polygon', 'oriented_rectangle', 'rectangle', 'circle', 'mask'}  # LabelMe's shapes
_SUFFIXES = '|'.join(map(re.escape, SUFFIXES))
_FILES = re.compile(rf'^(?:images/|JPEGImages/)?(.+(?:{_SUFFIXES}|\.json))$', re.IGNORECASE)
_CVAT = re.compile(
    rf'(?:^|/)((?:JPEGImages|SegmentationClass)/.+(?:{_SUFFIXES})|labelmap\.txt)$', re.IGNORECASE
)


def prepare_labelme(root: str = ROOT, sources: Sources = ()) -> str:
    """Paint LabelMe's polygons, rectangles, circles and masks; the label is the class.

    What has no label is background, and ``__ignore__`` is no class. Points and lines have no area:
    they are passed over, which is said. An image that lies in its JSON alone is taken from there.
    """
    with fresh_output(root) as out:
        pages, images = _read(out, sources, {'shapes', 'imagePath'})
        labels, flat = set(), Counter()
        for name, page in pages.items():
            with _named(name):
                for shape in page['shapes']:
                    shape['shape_type'] = shape.get('shape_type') or 'polygon'  # of old files
                    if shape['shape_type'] in _AREAS:
                        labels.add(shape['label'])
                    else:
                        flat[shape['shape_type']] += 1
        classes, values = _classes(labels)

        def paint(name: str) -> None:
            page = pages[name]
            image = images.find(page['imagePath'], name)
            if image is None:
                image = f'{posixpath.splitext(name)[0]}.png'
                images[image] = _embedded(out, name, page)
            with _named(name), Image.open(images[image], formats=FORMATS) as picture:
                size = page.get('imageWidth') or picture.width, page.get('imageHeight')
                ids = Image.new('I', (size[0], size[1] or picture.height))
                for shape in page['shapes']:
                    if shape['shape_type'] in _AREAS:
                        _paint(ids, shape, values[shape['label']])
            _put(out, image, images[image], np.asarray(ids), classes)

        map_files(paint, list(pages), 'Painting shapes')
        return _finish(out, len(pages), classes, flat)


def prepare_coco_json(root: str = ROOT, sources: Sources = ()) -> str:
    """Paint the instances of COCO JSON: polygons and run-length codes, in the order of the file.

    Categories without an annotation are no classes. ``iscrowd`` is a region as any other: CVAT
    marks its masks by it. Boxes alone have no outline: they are passed over, which is said.
    """
    with fresh_output(root) as out:
        kind = import_pycocotools()
        pages, images = _read(out, sources, {'images', 'annotations', 'categories'})
        tasks, labels, flat = [], set(), Counter()
        for name, page in pages.items():
            with _named(name), redirect_stdout(io.StringIO()):
                coco = kind()
                coco.dataset = page
                coco.createIndex()
                names = {number: category['name'] for number, category in coco.cats.items()}
                tasks += [(name, coco, names, image) for image in page['images']]
                for item in page['annotations']:
                    if item.get('segmentation'):
                        labels.add(names[item['category_id']])
                    else:
                        flat['box'] += 1
        classes, values = _classes(labels)

        def paint(task: tuple) -> None:
            name, coco, names, image = task
            with _named(name):
                ids = np.zeros((image['height'], image['width']), np.uint16)
                file = images.find(image['file_name'], name)
            if file is None:
                raise FileNotFoundError(f'{name}: the image {image["file_name"]} is not there.')
            for item in coco.imgToAnns[image['id']]:
                if item.get('segmentation'):
                    ids[mask_of(coco, item)] = values[names[item['category_id']]]
            _put(out, file, images[file], ids, classes)

        map_files(paint, tasks, 'Painting instances')
        return _finish(out, len(tasks), classes, flat)


def prepare_cvat(root: str = ROOT, sources: Sources = ()) -> str:
    """Unpack CVAT's "Segmentation mask" (``labelmap.txt``), or a folder in the manner of VOC.

    The masks stay in colours, which ``labelmap.txt`` names. Images that were not exported may be in
    another source, in a folder ``JPEGImages``.
    """
    folders = dict(jpegimages='images', segmentationclass='masks')
    with fresh_output(root) as out:
        counts = Counter()
        for name, path in find_files(sources, _CVAT, lambda name: True, out.scratch):
            folder, _, file = name.partition('/')
            out.place(path, f'{folders[folder.lower()]}/{file}' if file else 'labelmap.txt')
            counts[folder.lower()] += 1
        if not (counts['jpegimages'] and counts['segmentationclass']):
            raise FileNotFoundError(
                f'JPEGImages holds {counts["jpegimages"]} images and SegmentationClass '
                f'{counts["segmentationclass"]} masks: export with "Save images", or name a folder '
                'that holds JPEGImages, too.'
            )
    return f'{root}: {counts["jpegimages"]} images, {counts["segmentationclass"]} masks'


class _Images(dict):
    """Images by their names in the sources."""

    def find(self, file: str, beside: str) -> str | None:
        """An image that a JSON names: at that place, or the only one of its name."""
        file = file.replace('\\', '/')
        at_place = posixpath.normpath(posixpath.join(posixpath.dirname(beside), file))
        if at_place in self:
            return at_place
        if not hasattr(self, 'of_name'):
            self.of_name = defaultdict(list)
            for name in self:
                self.of_name[posixpath.basename(name)].append(name)
        found = self.of_name.get(posixpath.basename(file), [])
        found = [name for name in found if f'/{name}'.endswith(f'/{file}')] or found
        if len(found) > 1:
            raise ValueError(f'it names {file}, and there are {first_few(found)}')
        return found[0] if found else None


def _read(out: Output, sources: Sources, keys: set[str]) -> tuple[dict[str, dict], _Images]:
    """The JSON files that have these keys, and the images."""
    pages, images = {}, _Images()
    for name, path in find_files(sources, _FILES, lambda name: True, out.scratch):
        if not name.lower().endswith('.json'):
            images[name] = path
            continue
        with _named(name):
            page = json.loads(path.read_bytes())
        if isinstance(page, dict) and keys <= set(page):
            pages[name] = page
    if not pages:
        listed = ', '.join(map(str, sources)) or '--from'
        raise FileNotFoundError(f'No JSON with {", ".join(sorted(keys))} is in {listed}.')
    return pages, images


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Names the file in which something has another form than the tool's."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        raise ValueError(f'{name} is damaged, or not of this tool ({error!r}).') from error


def _classes(labels: set[str]) -> tuple[list[str], dict[str, int]]:
    """The classes by their ids, background and then by name; the id of each label."""
    names = sorted(name for name in labels if name.lower() not in _BACKGROUND | NO_CLASS)
    classes = ['background', *names]
    if len(classes) > WIDE_VOID:
        raise ValueError(f'There are {len(names)} labels; masks of 16 bits have room for 65534.')
    values = {name: value for value, name in enumerate(classes)}
    for name in labels - values.keys():
        values[name] = void_of(len(classes)) if name.lower() in NO_CLASS else 0
    return classes, values


def _put(out: Output, name: str, image: Path, ids: np.ndarray, classes: Sequence[str]) -> None:
    out.place(image, f'images/{name}')
    with out.writing(f'masks/{name}.png') as new:
        save_mask(new, ids, voc_colours(len(classes)))


def _finish(out: Output, images: int, classes: Sequence[str], flat: Counter) -> str:
    with out.writing('labelmap.txt') as new:
        new.write_text(class_table_text(classes, voc_colours(len(classes))), 'utf-8')
    passed = ', '.join(f'{kind} ({count})' for kind, count in flat.items())
    return f'{out.root}: {images} images, classes: {first_few(classes, 50)}' + (
        f'; without an area, passed over: {passed}' if flat else ''
    )


def _embedded(out: Output, name: str, page: dict) -> Path:
    """The image in a JSON, as a file."""
    if not page.get('imageData'):
        raise FileNotFoundError(f'{name}: the image {page["imagePath"]} is not there.')
    path = out.scratch / f'embedded_{name.replace("/", "_")}.png'
    path.write_bytes(base64.b64decode(page['imageData']))
    return path


def _paint(ids: Image.Image, shape: dict, value: int) -> None:
    """Paint one of LabelMe's shapes that have an area."""
    kind, points, draw = shape['shape_type'], shape['points'], ImageDraw.Draw(ids)
    if kind == 'rectangle':
        draw.rectangle((*np.min(points, axis=0), *np.max(points, axis=0)), value, value)
    elif kind == 'circle':
        (x, y), edge = points  # its centre and a point on it
        radius = math.dist((x, y), edge)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), value, value)
    elif kind == 'mask':
        with Image.open(io.BytesIO(base64.b64decode(shape['mask'])), formats=('PNG',)) as part:
            left, top = map(round, points[0])
            ids.paste(value, (left, top), part.convert('L').point(lambda pixel: 255 * (pixel > 0)))
    else:
        draw.polygon([tuple(point) for point in points], value, value)
