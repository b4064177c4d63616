"""Draws the Shapes dataset: a small segmentation problem in which scale and context decide.

Nothing is downloaded; the same arguments give the same pixels on any number of threads.
What makes it a problem for a segmentation head and not only for a classifier of patches:

- The ground is a mosaic of blue and sand patches. Where blue prevails in the whole image (60 %) it
  is water, else land; no single patch tells, and a crop may mislead: train on whole images.
- The large red disc is a ``raft`` on water and a ``roof`` on land, the green triangle a ``buoy`` or
  a ``flag``: the same pixels, and only the whole image says which.
- ``dot`` and ``ring`` wear the same red, striped paint as the large disc: their size and their
  hole are the difference. Scales run from a dot 14 pixels wide to a disc over half of the image.
- ``bar`` is thin and long, ``dot`` is small, ``star`` is rare. Short strokes in the colours of all
  objects lie everywhere and belong to the background.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image

from mmseg_deeplabv3x.datasets import ShapesDataset
from mmseg_deeplabv3x.datasets.parallel import map_files

CLASSES = ShapesDataset.METAINFO['classes']
PALETTE = [tuple(colour) for colour in ShapesDataset.METAINFO['palette']]
VOID = 255
SPLITS = ('train', 'val')

# Raise it when drawings change, so that a root made by an older version is not taken for current.
_DRAWING = 2
_RECORD = 'shapes.json'

# Hues in OpenCV's degrees, 0 to 180.
_RED, _SAND, _YELLOW, _GREEN, _BLUE, _PINK = 0, 18, 28, 65, 105, 150


def generate_shapes(
    root,
    num_train: int = 800,
    num_val: int = 100,
    size: tuple[int, int] = (145, 193),
    seed: int = 0,
    overwrite: bool = False,
    workers: int | None = None,
) -> Path:
    """Make the Shapes dataset in the layout of PASCAL VOC.

    Writes ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` (palette images, 255 on object borders)
    and ``ImageSets/Segmentation/{train,val}.txt``. Everything is written aside and renamed at the
    end, so ``root`` is either complete or absent. A complete root made with the same arguments is
    kept as it is.

    Args:
        root: Folder to make.
        num_train: Images of the train split.
        num_val: Images of the val split.
        size: Height and width of each image in pixels. Objects are drawn in proportion. The default
            is of the form 16 k + 1, so that a whole image is a legal crop.
        seed: Image i of a split depends on the seed, the split and i only.
        overwrite: Replace a Shapes root that was made with other arguments or lacks files.
        workers: Threads; by default one for each core.

    Returns:
        The root.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``root`` holds anything else than what these arguments make, or only a
            part of it (and, for a Shapes root, ``overwrite`` is not set).
    """
    if min(num_train, num_val) < 1:
        raise ValueError(
            f'num_train and num_val must be at least 1, got {num_train} and {num_val}.'
        )
    if len(size) != 2 or min(size) < 32:
        raise ValueError(
            f'size must be a height and a width of at least 32 pixels, got {tuple(size)}.'
        )
    root = Path(root).resolve()
    arguments = dict(
        num_train=num_train, num_val=num_val, size=list(size), seed=seed, drawing=_DRAWING
    )
    if _is_made(root, arguments, overwrite):
        return root

    try:
        with folder_written_aside(root) as aside:
            _write(aside, arguments, workers)
    except OSError:
        if not _is_made(root, arguments, overwrite):  # else another process was faster
            raise
    return root


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image.

    Args:
        rng: The only source of chance.
        size: Height and width.

    Returns:
        The image, uint8 (H, W, 3) in BGR, and its labels, uint8 (H, W): ids in the order of
        ``CLASSES`` and 255 along the outside of every object.
    """
    return _Scene(rng, size).draw()


@contextmanager
def folder_written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Where to write a folder that takes its name at the end, and is removed after an error.

    Args:
        path: The folder; one that is there is replaced.

    Yields:
        An empty folder on the same disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as aside:
        new = Path(aside, 'new')
        new.mkdir()
        yield new
        if path.exists() and any(path.iterdir()):
            os.replace(path, Path(aside, 'old'))
        os.replace(new, path)


def _is_made(root: Path, arguments: dict, overwrite: bool) -> bool:
    """Whether the root is there already; raises if something else is there that must stay."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / _RECORD).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{root} exists and is not a Shapes dataset; choose another root or remove it.'
        ) from None
    if found != arguments:
        problem = f'{root} was made with {found}, not with {arguments}'
    else:
        files = [file for split in SPLITS for file in _files(root, split, arguments)]
        missing = [file for file in files if not file.is_file()]
        if not missing:
            return True
        problem = f'{root} lacks {len(missing)} of its files, such as {missing[0]}'
    if overwrite:
        return False
    raise FileExistsError(
        f'{problem}; choose another root or replace this one: '
        '`python tools/make_shapes.py --overwrite`.'
    )


def _names(split: str, arguments: dict) -> list[str]:
    return [f'{split}_{i:05d}' for i in range(arguments[f'num_{split}'])]


def _list(root: Path, split: str) -> Path:
    return root / f'ImageSets/Segmentation/{split}.txt'


def _pair(root: Path, name: str) -> tuple[Path, Path]:
    """An image and its mask."""
    return root / f'JPEGImages/{name}.jpg', root / f'SegmentationClass/{name}.png'


def _files(root: Path, split: str, arguments: dict) -> list[Path]:
    files = [_list(root, split)]
    for name in _names(split, arguments):
        files += _pair(root, name)
    return files


def _write(root: Path, arguments: dict, workers: int | None) -> None:
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    tasks = []
    for split in SPLITS:
        names = _names(split, arguments)
        _list(root, split).write_text('\n'.join(names) + '\n')
        tasks += [(name, SPLITS.index(split), i) for i, name in enumerate(names)]

    write_one = partial(_write_one, root, tuple(arguments['size']), arguments['seed'])
    map_files(write_one, tasks, 'Drawing Shapes', workers)
    (root / _RECORD).write_text(json.dumps(arguments))


def _write_one(root: Path, size: tuple[int, int], seed: int, task: tuple[str, int, int]) -> None:
    name, split, index = task
    image, labels = draw_scene(np.random.default_rng([seed, split, index]), size)
    image_file, mask_file = _pair(root, name)
    Image.fromarray(image[..., ::-1]).save(image_file, quality=90)
    mask = Image.fromarray(labels, mode='P')
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(PALETTE)] = PALETTE
    palette[VOID] = 224, 224, 192  # as in PASCAL VOC
    mask.putpalette(palette.tobytes())
    mask.save(mask_file)


class _Scene:
    """One image and its labels, painted from back to front, the ground under all of it last.

    Lengths are those of an image 145 pixels high; ``unit`` takes them to this one.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]):
        self.rng = rng
        self.size = size
        self.unit = min(size) / 145
        self.labels = np.zeros(size, np.uint8)
        self.image = np.zeros((*size, 3), np.float32)
        self.bare = np.ones(size, bool)  # where nothing lies on the ground

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        water = rng.random() < 0.5
        paint = self._stripes() + self._colour(_RED)
        self._strokes()

        circle, triangle, star = _polygon(64), _polygon(3), _polygon(5, 0.45)
        for _ in range(rng.integers(1, 3)):
            self._put('raft' if water else 'roof', circle, self._radius(28, 66), paint)
        for _ in range(rng.integers(1, 3)):
            self._put('ring', circle, self._radius(16, 30), paint, hole=0.6)
        for _ in range(rng.integers(1, 4)):
            name = 'buoy' if water else 'flag'
            self._put(name, triangle, self._radius(12, 18), self._colour(_GREEN))
        for _ in range(rng.integers(1, 3)):
            length = self._radius(36, 80)
            self._put('bar', _rectangle(4 * self.unit / length), length, self._colour(_YELLOW))
        for _ in range(rng.integers(2, 6)):
            self._put('dot', circle, self._radius(7, 10), paint)
        if rng.random() < 0.2:
            self._put('star', star, self._radius(18, 26), self._colour(_PINK))
        self._ground(water)
        return self._photograph(), self.labels

    def _radius(self, low: float, high: float) -> float:
        """A radius, uniform in its logarithm."""
        return self.unit * np.exp(self.rng.uniform(np.log(low), np.log(high)))

    def _noise(self, height: float, width: float) -> np.ndarray:
        """Smooth noise (H, W, 1) of variance near 1 whose grains have this height and width."""
        rows, columns = (
            max(2, round(full / (grain * self.unit)) + 1)
            for full, grain in zip(self.size, (height, width))
        )
        coarse = self.rng.standard_normal((rows, columns), np.float32)
        return cv2.resize(coarse, self.size[::-1], interpolation=cv2.INTER_CUBIC)[..., None]

    def _colour(self, hue: float, saturation: float = 0.75) -> np.ndarray:
        """A colour near a hue (in OpenCV's degrees, 0 to 180), BGR."""
        hue = (hue + self.rng.uniform(-6, 6)) % 180
        pixel = np.uint8([[[hue, 255 * saturation, self.rng.uniform(130, 240)]]])
        return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)

    def _ground(self, water: bool) -> None:
        """Large patches; of all that is to be seen, 60 % is blue on water and 40 % on land."""
        patches = self._noise(40, 40)
        blue = patches > np.quantile(patches[self.bare], 0.4 if water else 0.6)
        colour = np.where(blue, self._colour(_BLUE, 0.3), self._colour(_SAND, 0.3))
        ground = colour * 0.75 + 8 * self._noise(4, 4)
        np.copyto(self.image, ground, where=self.bare[..., None])

    def _stripes(self) -> np.ndarray:
        """A wave across the image, (H, W, 1)."""
        angle, period = self.rng.uniform(0, np.pi), self.rng.uniform(5, 9) * self.unit
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
        return 20 * wave.astype(np.float32)[..., None]

    def _strokes(self) -> None:
        """Clutter: short strokes in the colours of the objects; they belong to the background."""
        for _ in range(self.rng.integers(8, 18)):
            start = self.rng.uniform(0, self.size[::-1])
            end = start + self.unit * self.rng.uniform(-16, 16, 2)
            ends = [tuple(int(round(v)) for v in point) for point in (start, end)]
            width = max(1, round(self.unit * self.rng.uniform(1, 4)))
            colour = self._colour(self.rng.choice([_RED, _GREEN, _YELLOW, _PINK]))
            stroke = cv2.line(np.zeros(self.size, np.uint8), *ends, 1, width)
            self._cover(stroke, colour)

    def _put(self, name, outline, radius, texture, hole=0.0) -> None:
        """Paint one object where little stands yet, and label it.

        The void border lies outside the object, so that thin ones keep their pixels.
        """
        tries = self.rng.uniform(0.05, 0.95, (16, 2)) * self.size[::-1]
        centre = min(tries, key=lambda at: self._overlap(at, radius))
        angle = self.rng.uniform(0, 2 * np.pi)
        rotation = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        points = outline @ rotation * radius
        shape = np.zeros(self.size, np.uint8)
        cv2.fillPoly(shape, [np.rint(centre + points).astype(np.int32)], 1)
        if hole:
            cv2.fillPoly(shape, [np.rint(centre + hole * points).astype(np.int32)], 0)
        border = cv2.dilate(shape, np.ones((5, 5), np.uint8)) - shape
        self.labels[border > 0] = VOID
        self.labels[shape > 0] = CLASSES.index(name)
        self._cover(shape, texture)

    def _cover(self, shape: np.ndarray, texture: np.ndarray) -> None:
        np.copyto(self.image, texture, where=shape[..., None] > 0)
        self.bare[shape > 0] = False

    def _overlap(self, centre: np.ndarray, radius: float) -> float:
        """Share of a square around the centre that is taken already."""
        (x, y), half = centre, max(radius, 1)
        window = self.labels[
            max(0, int(y - half)) : int(y + half) + 1, max(0, int(x - half)) : int(x + half) + 1
        ]
        return (window > 0).mean()

    def _photograph(self) -> np.ndarray:
        """Uneven light, a soft lens and a noisy sensor."""
        image = self.image * np.exp(0.2 * self._noise(120, 120))
        image = cv2.GaussianBlur(image, (0, 0), 0.6)
        image += self.rng.standard_normal(image.shape, np.float32) * 6
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _polygon(corners: int, inner: float = 1.0) -> np.ndarray:
    """Corners (N, 2) on the unit circle; with ``inner`` below 1, a star."""
    count = corners if inner == 1.0 else 2 * corners
    angle = np.arange(count) * 2 * np.pi / count
    length = np.where(np.arange(count) % 2, inner, 1.0)
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)


def _rectangle(height: float) -> np.ndarray:
    """Corners (4, 2) of a bar from -1 to 1 with this half height."""
    return np.array([(-1, -height), (1, -height), (1, height), (-1, height)])
