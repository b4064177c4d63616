"""The classes of one image, and what one does with them."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..files import write_file


@dataclass(frozen=True)
class Segmentation:
    """What the network says of one image.

    Attributes:
        mask: Class of each pixel, (H, W), uint8; uint16 for more than 255 classes,
            since 255 in a mask of 8 bits is no class elsewhere.
        classes: Names, by class.
        palette: Colours, (R, G, B) by class.
        image: The image itself, uint8 (H, W, 3), RGB.
        probabilities: float32 (num_classes, H, W), if the predictor was asked for them.
    """

    mask: np.ndarray
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    image: np.ndarray = field(repr=False)
    probabilities: np.ndarray | None = field(default=None, repr=False)

    def colours(self) -> np.ndarray:
        """The mask in the colours of its classes, uint8 (H, W, 3), RGB."""
        return np.asarray(self.palette, np.uint8)[self.mask]

    def overlay(self, opacity: float = 0.5) -> np.ndarray:
        """The image under the colours of its classes, of this opacity: uint8 (H, W, 3), RGB."""
        return cv2.addWeighted(self.image, 1 - opacity, self.colours(), opacity, 0)

    def shares(self) -> dict[str, float]:
        """Share of the pixels by name of the class, each 0 to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {name: float(n) / self.mask.size for name, n in zip(self.classes, counts)}

    def polygons(self) -> list[dict]:
        """Outlines of each connected region, as annotations of a COCO json: see :func:`polygons`.

        ``category_id`` is the class.
        """
        return [
            dict(category_id=int(number), **region)
            for number in np.unique(self.mask)
            for region in polygons(self.mask == number)
        ]

    def save(self, path: str | Path) -> None:
        """Write the mask as PNG: ids with the palette; gray in 16 bit above 255 classes."""
        picture = Image.fromarray(self.mask)
        if self.mask.dtype == np.uint8:
            colours = np.zeros((256, 3), np.uint8)
            colours[: len(self.palette)] = self.palette
            picture.putpalette(colours.tobytes())
        write_png(path, picture)


def polygons(region: np.ndarray) -> list[dict]:
    """Outline every connected part of a region, bool (H, W).

    The pixels whose centres lie in the polygons are exactly those of the region. COCO's polygons
    have no holes, so a part with holes is cut through them into several polygons.

    Returns:
        Of each part, as in a COCO json: 'segmentation', polygons [x0, y0, x1, y1, ...] in pixels
        from the upper left corner of the image; 'area' in pixels; 'bbox' [x, y, width, height];
        'iscrowd' 0.
    """
    count, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    found = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        part = np.uint8(parts[y : y + height, x : x + width] == number)
        outlines = [(outline + (x, y)).ravel().tolist() for outline in _outlines(part)]
        found.append(dict(segmentation=outlines, area=area, bbox=[x, y, width, height], iscrowd=0))
    return found


def _outlines(part: np.ndarray) -> Iterator[np.ndarray]:
    """Polygons, (points, 2) each, of a part, uint8 (H, W) of 0 and 1."""
    # twice as large, an outline runs between the centres of pixels and never through them
    large = part.repeat(2, 0).repeat(2, 1)
    rings, tree = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None:
        return
    holes = [ring for ring, (_, _, _, parent) in zip(rings, tree[0]) if parent >= 0]
    if holes:
        # through the one in the middle: recursion is no deeper than their number has digits
        middle = sorted(hole[:, 0, 0].mean() for hole in holes)[len(holes) // 2]
        cut = int(middle) // 2 + 1
        for columns in (slice(0, cut), slice(cut, None)):
            side = np.zeros_like(part)
            side[:, columns] = part[:, columns]
            yield from _outlines(side)
        return
    for ring in rings:
        yield (ring[:, 0] + 0.5) / 2


def write_png(path: str | Path, picture: Image.Image) -> None:
    """Write a picture aside and rename it."""
    buffer = io.BytesIO()
    picture.save(buffer, 'png')
    write_file(path, buffer.getvalue())
