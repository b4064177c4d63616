"""Masks of PASCAL VOC's classes: palette PNGs whose indices are class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from .reading import FORMATS

VOID = 255
VOID_COLOUR = (224, 224, 192)
COLOURS = [tuple(colour) for colour in PascalVOCDataset.METAINFO['palette']]
NUM_CLASSES = len(COLOURS)

_PALETTE = np.zeros((256, 3), np.uint8)
_PALETTE[:NUM_CLASSES] = COLOURS
_PALETTE[VOID] = VOID_COLOUR


def save_mask(path: Path, ids: np.ndarray) -> None:
    """Write class ids, uint8 (H, W), as a PNG with VOC's palette."""
    mask = Image.fromarray(ids)
    mask.putpalette(_PALETTE.tobytes())
    mask.save(path)


def read_ids(path: Path) -> np.ndarray:
    """Read a mask: of ids, with or without a palette, or painted in VOC's colours.

    Args:
        path: An image file.

    Returns:
        Class ids, uint8 (H, W), 255 where void.

    Raises:
        ValueError: If it is no image, or holds an id or a colour that is not VOC's.
    """
    image = open_image(path)
    if image.mode in ('RGB', 'RGBA'):
        return _ids_of_colours(np.asarray(image.convert('RGB')), path)
    if image.mode not in ('P', 'L', '1'):
        raise ValueError(f'{path} has the image mode {image.mode}; a mask has P, L or RGB.')
    ids = np.asarray(image, np.uint8)
    wrong = np.setdiff1d(ids, [*range(NUM_CLASSES), VOID])
    if len(wrong):
        raise ValueError(
            f'{path} holds the id {wrong[0]}; the ids are 0 to {NUM_CLASSES - 1} and {VOID}.'
        )
    return ids


def open_image(path: Path) -> Image.Image:
    """Open and decode an image file.

    Raises:
        ValueError: If it is no image, damaged, or of a size no dataset has.
    """
    try:
        image = Image.open(path, formats=FORMATS)
        image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path} cannot be read as an image ({error}).') from error
    return image


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an image file, from its header alone.

    Raises:
        ValueError: If it is no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path} cannot be read as an image ({error}).') from error


def _ids_of_colours(colours: np.ndarray, path: Path) -> np.ndarray:
    known = {colour: number for number, colour in enumerate(COLOURS)}
    known[VOID_COLOUR] = VOID
    flat, place = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    unknown = [tuple(map(int, colour)) for colour in flat if tuple(colour) not in known]
    if unknown:
        raise ValueError(
            f'{path} holds the colour {unknown[0]}, which is none of PASCAL VOC: it is no mask, '
            'or was stored with loss.'
        )
    ids = np.array([known[tuple(colour)] for colour in flat], np.uint8)
    return ids[place.reshape(colours.shape[:2])]
