"""Draws the Shapes data set: a small segmentation problem in which scale and context decide.

Nothing is downloaded; the same arguments give the same pixels on any number of threads.
What makes it a problem for a segmentation head and not only for a classifier of patches:

- ``dot``, ``disc``, ``box`` and ``ring`` of an image wear the same paint (colour and stripes). A
  pixel inside says only "paint"; which class it is says the outline, up to 80 pixels away.
- ``buoy`` and ``flag`` are the same marker on the same grey plate. It is a buoy on water and a
  flag on land, and the two grounds differ in nothing but the direction of a noisy texture.
- ``bar`` is thin, ``dot`` is small, ``star`` is rare, and strokes in the colour of the paint, which
  belong to the background, lie everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .parallel import map_files

CLASSES = ('background', 'dot', 'disc', 'box', 'ring', 'buoy', 'flag', 'bar', 'star')
PALETTE = (
    (0, 0, 0),
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
)
VOID = 255
SPLITS = ('train', 'val')

# Raise it when drawings change, so that a root made by an older version is not taken for current.
_DRAWING = 1
_RECORD = 'shapes.json'


def generate_shapes(
    root,
    num_train: int = 800,
    num_val: int = 100,
    size: tuple[int, int] = (180, 240),
    seed: int = 0,
    overwrite: bool = False,
    workers: int | None = None,
) -> Path:
    """Make the Shapes data set in the layout of PASCAL VOC.

    Writes ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` (palette images, 255 on object borders)
    and ``ImageSets/Segmentation/{train,val}.txt``. Everything is written aside and renamed at the
    end, so ``root`` is either complete or absent. A complete root made with the same arguments is
    kept as it is.

    Args:
        root: Folder to make.
        num_train: Images of the train split.
        num_val: Images of the val split.
        size: Height and width of each image in pixels. Objects are drawn in proportion.
        seed: Image i of a split depends on the seed, the split and i only.
        overwrite: Replace a Shapes root that was made with other arguments.
        workers: Threads; by default one for each core.

    Returns:
        The root.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``root`` holds anything else than what these arguments make (and, for a
            Shapes root, ``overwrite`` is not set).
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

    root.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        _write(aside / 'new', arguments, workers)
        if root.exists() and any(root.iterdir()):
            os.replace(root, aside / 'old')
        os.replace(aside / 'new', root)
    except OSError:
        if not _is_made(root, arguments, overwrite):  # else another process was faster
            raise
    finally:
        shutil.rmtree(aside)
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


def _is_made(root: Path, arguments: dict, overwrite: bool) -> bool:
    """Whether the root is there already; raises if something else is there that must stay."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / _RECORD).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{root} exists and is no Shapes data set; choose another root or remove it.'
        ) from None
    if found == arguments:
        return True
    if overwrite:
        return False
    raise FileExistsError(
        f'{root} was made with {found}, not with {arguments}; '
        'choose another root or overwrite it (--overwrite).'
    )


def _write(root: Path, arguments: dict, workers: int | None) -> None:
    for folder in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    tasks = []
    for split in SPLITS:
        names = [f'{split}_{i:05d}' for i in range(arguments[f'num_{split}'])]
        (root / f'ImageSets/Segmentation/{split}.txt').write_text('\n'.join(names) + '\n')
        tasks += [(name, SPLITS.index(split), i) for i, name in enumerate(names)]

    write_one = partial(_write_one, root, tuple(arguments['size']), arguments['seed'])
    map_files(write_one, tasks, workers)
    (root / _RECORD).write_text(json.dumps(arguments))


def _write_one(root: Path, size: tuple[int, int], seed: int, task: tuple[str, int, int]) -> None:
    name, split, index = task
    image, labels = draw_scene(np.random.default_rng([seed, split, index]), size)
    Image.fromarray(image[..., ::-1]).save(root / f'JPEGImages/{name}.jpg', quality=90)
    mask = Image.fromarray(labels, mode='P')
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(PALETTE)] = PALETTE
    palette[VOID] = 224, 224, 192  # as in PASCAL VOC
    mask.putpalette(palette.tobytes())
    mask.save(root / f'SegmentationClass/{name}.png')


class _Scene:
    """One image and its labels, painted from back to front.

    Lengths are those of an image 180 pixels high; ``unit`` takes them to this one.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]):
        self.rng = rng
        self.size = size
        self.unit = min(size) / 180
        self.labels = np.zeros(size, np.uint8)

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng
        water = rng.random() < 0.5
        self.image = self._ground(water)
        paint = self._paint()
        self._strokes(paint)

        circle, square, triangle = _polygon(64), _polygon(4), _polygon(3)
        bar, star = np.float32([(-1, -0.03), (1, -0.03), (1, 0.03), (-1, 0.03)]), _polygon(5, 0.45)
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.5:
                self._put('disc', circle, self._radius(26, 80), paint)
            else:
                self._put('box', square, self._radius(32, 95), paint)
        for _ in range(rng.integers(0, 3)):
            self._put('ring', circle, self._radius(14, 34), paint, hole=0.6)
        for _ in range(rng.integers(1, 4)):
            centre = self._put('background', circle, self._radius(16, 24), self._colour(0.1))
            self._put(
                'buoy' if water else 'flag', triangle, self._radius(7, 12), self._colour(), centre
            )
        for _ in range(rng.integers(0, 3)):
            self._put('bar', bar, self._radius(40, 100), self._colour())
        for _ in range(rng.integers(2, 7)):
            self._put('dot', circle, self._radius(4, 7), paint)
        if rng.random() < 0.12:
            self._put('star', star, self._radius(11, 18), self._colour())
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

    def _colour(self, saturation: float = 0.8) -> np.ndarray:
        """A random colour, BGR."""
        hue, value = self.rng.uniform(0, 180), self.rng.uniform(120, 255)
        pixel = np.uint8([[[hue, 255 * saturation, value]]])
        return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)

    def _ground(self, water: bool) -> np.ndarray:
        grain = (3, 9) if water else (5, 5)
        texture = 18 * self._noise(*grain) + 14 * self._noise(30, 30)
        return self._colour(self.rng.uniform(0.1, 0.35)) * 0.7 + texture

    def _paint(self) -> np.ndarray:
        """One colour with stripes across the image, (H, W, 3)."""
        angle, period = self.rng.uniform(0, np.pi), self.rng.uniform(5, 9) * self.unit
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
        return self._colour() + 25 * wave.astype(np.float32)[..., None]

    def _strokes(self, paint: np.ndarray) -> None:
        """Clutter: short strokes, half of them in paint; they belong to the background."""
        painted = np.zeros(self.size, np.uint8)
        for i in range(self.rng.integers(15, 40)):
            start = self.rng.uniform(0, self.size[::-1])
            end = start + self.unit * self.rng.uniform(-16, 16, 2)
            ends = [tuple(int(round(v)) for v in point) for point in (start, end)]
            width = max(1, round(self.unit * self.rng.uniform(1, 4)))
            if i % 2:
                cv2.line(painted, *ends, 1, width)
            else:
                cv2.line(self.image, *ends, self._colour().tolist(), width)
        np.copyto(self.image, paint, where=painted[..., None] > 0)

    def _put(self, name, outline, radius, texture, centre=None, hole=0.0) -> np.ndarray:
        """Paint one object and label it; returns its centre (x, y).

        The void border lies outside the object, so that thin ones keep their pixels.
        """
        if centre is None:
            tries = self.rng.uniform(0.05, 0.95, (8, 2)) * self.size[::-1]
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
        np.copyto(self.image, texture, where=shape[..., None] > 0)
        return centre

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
