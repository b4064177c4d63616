"""What annotation tools write, turned into masks once: ``tools/prepare_data.py labelme`` and such.

Made, for ``tools/new_config.py``: ``images/``, as they are; ``masks/<image>.png``, of class ids;
``labelmap.txt``, their names and colours. Later shapes lie over earlier ones, as the tools show and
export them. Arguments, result and errors are those of :mod:`mmseg_deeplabv3x.prepare`, but ``root``
must not be there yet, nothing is downloaded, and an interrupted run starts anew. Different files of
one name are refused, and so are two pages on one image.
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

from ..datasets.lists import first_few, read_lines, write_split
from ..datasets.parallel import map_files
from ..datasets.reading import FORMATS
from ..datasets.voc_masks import WIDE_VOID, save_mask, voc_colours, void_of
from .class_table import NO_CLASS, class_table_text
from .coco import import_pycocotools, mask_of
from .output import Output, fresh_output
from .own_dataset import SPLITS, VOC_LISTS
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
_LISTS = re.compile(rf'^((?:.+/)?{VOC_LISTS}/(?:{"|".join(SPLITS)})\.txt)$', re.IGNORECASE)
_STRAY = 'polygon of fewer than 3 points'


def prepare_labelme(root: str = ROOT, sources: Sources = ()) -> str:
    """Paint LabelMe's polygons, rectangles, circles and masks; the label is the class.

    What has no label is background, and ``__ignore__`` is no class. Points, lines and polygons of
    fewer than 3 points have no area: they are passed over, which is said. An image that lies in its
    JSON alone is taken from there.
    """
    with fresh_output(root) as out:
        pages, images = _read(out, sources, {'shapes', 'imagePath'})
        tasks, labels, flat = {}, set(), Counter()
        for name, page in pages.items():
            with _named(name):
                shapes = []
                for shape in page['shapes']:
                    kind = shape.get('shape_type') or 'polygon'  # as in old files
                    shape['shape_type'] = kind
                    if kind == 'polygon' and len(shape['points']) < 3:
                        kind = _STRAY
                    if kind in _AREAS:
                        shape['label'] = _label(shape['label'], name)
                        shapes.append(shape)
                    else:
                        flat[kind] += 1
                labels.update(shape['label'] for shape in shapes)
                image = images.find(page['imagePath'], name)
                path = images[image] if image else _embedded(out, name, page, len(tasks))
                image = image or f'{posixpath.splitext(name)[0]}.png'
                _add(tasks, image, (name, page, shapes, path))
        classes, values = _classes(labels)

        def paint(image: str) -> None:
            name, page, shapes, path = tasks[image]
            with _named(name), Image.open(path, formats=FORMATS) as picture:
                size = page.get('imageWidth') or picture.width, page.get('imageHeight')
                ids = Image.new('I', (size[0], size[1] or picture.height))
                for shape in shapes:
                    _paint(ids, shape, values[shape['label']])
            _put(out, image, path, np.asarray(ids), classes)

        map_files(paint, list(tasks), 'Painting shapes')
        return _finish(out, len(tasks), classes, flat)


def prepare_coco_json(root: str = ROOT, sources: Sources = ()) -> str:
    """Paint the instances of COCO JSON: polygons and run-length codes, in the order of the file.

    Categories without an annotation are no classes. ``iscrowd`` is a region as any other: CVAT
    marks its masks by it. Boxes alone have no outline, and polygons of fewer than 3 points no area:
    they are passed over, which is said.
    """
    with fresh_output(root) as out:
        kind = import_pycocotools()
        pages, images = _read(out, sources, {'images', 'annotations', 'categories'})
        tasks, labels, flat = {}, set(), Counter()
        for name, page in pages.items():
            with _named(name), redirect_stdout(io.StringIO()):
                coco = kind()
                coco.dataset = page
                coco.createIndex()
                names = {key: item['name'] for key, item in coco.cats.items()}
                for item in page['annotations']:
                    region = item.get('segmentation')
                    if region and isinstance(region, list):
                        item['segmentation'] = [part for part in region if len(part) >= 6]
                        flat[_STRAY] += len(region) - len(item['segmentation'])
                    if item.get('segmentation'):
                        category = item['category_id']
                        names[category] = _label(names[category], name)
                        labels.add(names[category])
                    elif not region:
                        flat['box'] += 1
                for image in page['images']:
                    file = images.find(image['file_name'], name)
                    if file is None:
                        lost = f'the image {image["file_name"]} is not there'
                        raise FileNotFoundError(f'{name}: {lost}.')
                    _add(tasks, file, (name, coco, names, image))
        classes, values = _classes(labels)

        def paint(file: str) -> None:
            name, coco, names, image = tasks[file]
            with _named(name):
                ids = np.zeros((image['height'], image['width']), np.uint16)
            for item in coco.imgToAnns.get(image['id'], ()):
                if item.get('segmentation'):
                    ids[mask_of(coco, item)] = values[names[item['category_id']]]
            _put(out, file, images[file], ids, classes)

        map_files(paint, list(tasks), 'Painting instances')
        return _finish(out, len(tasks), classes, flat)


def prepare_cvat(root: str = ROOT, sources: Sources = ()) -> str:
    """Unpack CVAT's "Segmentation mask" (``labelmap.txt``), or a folder in the manner of VOC.

    The masks stay in colours, which ``labelmap.txt`` names. Images that were not exported may be in
    another source, in a folder ``JPEGImages``. The lists of train, val and test in
    ``ImageSets/Segmentation`` come along, several of one split joined.
    """
    folders = dict(jpegimages='images', segmentationclass='masks')
    with fresh_output(root) as out:
        counts = Counter()
        for name, path in find_files(sources, _CVAT, lambda name: True, out.scratch, unique=True):
            folder, _, file = name.partition('/')
            out.place(path, f'{folders[folder.lower()]}/{file}' if file else 'labelmap.txt')
            counts[folder.lower()] += 1
        if not (counts['jpegimages'] and counts['segmentationclass']):
            raise FileNotFoundError(
                f'JPEGImages holds {counts["jpegimages"]} images and SegmentationClass '
                f'{counts["segmentationclass"]} masks: export with "Save images", or name a folder '
                'that holds JPEGImages, too.'
            )
        lists = defaultdict(list)
        for source in sources:
            for name, path in find_files([source], _LISTS, lambda name: True, out.scratch):
                lists[SPLITS[Path(name).stem.lower()]] += filter(None, read_lines(path))
        for split, names in lists.items():
            with out.writing(f'{VOC_LISTS}/{split}.txt') as new:
                write_split(new, dict.fromkeys(names))
    return f'{root}: {counts["jpegimages"]} images, {counts["segmentationclass"]} masks'


class _Images(dict):
    """Images by their names in the sources."""

    def __init__(self, files: dict[str, Path]):
        super().__init__(files)
        self.of_name = defaultdict(list)
        for name in files:
            self.of_name[posixpath.basename(name)].append(name)

    def find(self, file: str, beside: str) -> str | None:
        """An image that a JSON names: at that place, or the only one of its name."""
        file = file.replace('\\', '/')
        at_place = posixpath.normpath(posixpath.join(posixpath.dirname(beside), file))
        if at_place in self:
            return at_place
        found = self.of_name.get(posixpath.basename(file), [])
        found = [name for name in found if f'/{name}'.endswith(f'/{file}')] or found
        if len(found) > 1:
            raise ValueError(
                f'{beside} names the image {file}, and there are {first_few(found)}: keep one.'
            )
        return found[0] if found else None


def _read(out: Output, sources: Sources, keys: set[str]) -> tuple[dict[str, dict], _Images]:
    """The JSON files that have these keys, and the images."""
    pages, images = {}, {}
    for name, path in find_files(sources, _FILES, lambda name: True, out.scratch, unique=True):
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
    return pages, _Images(images)


def _add(tasks: dict[str, tuple], image: str, task: tuple) -> None:
    """Add what is to be painted for an image; ``task`` begins with the name of its JSON."""
    first = tasks.setdefault(image, task)
    if first is not task:
        before = f'which {first[0]} has labelled before'
        raise ValueError(f'{task[0]} labels the image {image}, {before}: leave one of them out.')


def _label(label: object, name: str) -> str:
    """The name of a class, on one line."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f'{name} has the label {json.dumps(label)}; expected the name of a class.')
    return ' '.join(label.split())


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Names the file in which something has another form than the tool's."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        if str(error).startswith(name):
            raise  # a sentence of ours
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
    flat = +flat  # without what counts 0
    passed = ', '.join(f'{kind} ({count})' for kind, count in flat.items())
    return f'{out.root}: {images} images, classes: {first_few(classes, 50)}' + (
        f'; without an area, passed over: {passed}' if flat else ''
    )


def _embedded(out: Output, name: str, page: dict, number: int) -> Path:
    """The image in a JSON, as a file."""
    if not page.get('imageData'):
        raise FileNotFoundError(f'{name}: the image {page["imagePath"]} is not there.')
    path = out.scratch / f'embedded_{number}.png'
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
