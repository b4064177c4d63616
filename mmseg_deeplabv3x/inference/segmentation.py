"""The classes of one image, and what one does with them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import write_file
from .polygons import polygons


@dataclass(frozen=True)
class Segmentation:
    """What the network says of one image.

    Attributes:
        mask: Class of each pixel, (H, W), uint8; uint16 for more than 256 classes.
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
        """The image under the colours of its classes.

        Args:
            opacity: Of the colours, 0 to 1. Default: 0.5.

        Returns:
            uint8 (H, W, 3), RGB.
        """
        blended = (1 - opacity) * self.image + np.float32(opacity) * self.colours()
        return np.round(blended).astype(np.uint8)

    def shares(self) -> dict[str, float]:
        """Share of the pixels by name of the class, each 0 to 1."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {name: float(n) / self.mask.size for name, n in zip(self.classes, counts)}

    def polygons(self) -> list[dict]:
        """Outlines of each connected region, as annotations of a COCO json: see :func:`.polygons`.

        ``category_id`` is the class.
        """
        present = np.unique(self.mask)
        return [
            dict(category_id=int(number), **region)
            for number in present
            for region in polygons(self.mask == number)
        ]

    def save(self, path: str | Path) -> None:
        """Write the mask as PNG: ids with the palette; gray in 16 bit above 256 classes.

        Args:
            path: The file; one that is there is replaced.
        """
        picture = Image.fromarray(self.mask)
        if self.mask.dtype == np.uint8:
            colours = np.zeros((256, 3), np.uint8)
            colours[: len(self.palette)] = self.palette
            picture.putpalette(colours.tobytes())
        buffer = io.BytesIO()
        picture.save(buffer, 'png')
        write_file(path, buffer.getvalue())
