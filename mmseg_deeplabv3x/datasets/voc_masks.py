"""Masks of PASCAL VOC's classes: palette PNGs whose indices are class ids."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from .reading import RGB_MASK, BadSampleError, check_ids, read_image, read_mask

VOID = 255
VOID_COLOUR = (224, 224, 192)
COLOURS = [tuple(colour) for colour in PascalVOCDataset.METAINFO['palette']]
NUM_CLASSES = len(COLOURS)

_PALETTE = np.zeros((256, 3), np.uint8)
_PALETTE[:NUM_CLASSES] = COLOURS
_PALETTE[VOID] = VOID_COLOUR


def save_voc_mask(file: Path | BinaryIO, ids: np.ndarray) -> None:
    """Write class ids, uint8 (H, W), as a PNG with VOC's palette."""
    mask = Image.fromarray(ids)
    mask.putpalette(_PALETTE.tobytes())
    mask.save(file, 'PNG')


def read_voc_mask(path: Path) -> np.ndarray:
    """Read a mask: of ids, with or without a palette, or painted in VOC's colours.

    Args:
        path: An image file.

    Returns:
        Class ids, uint8 (H, W), 255 where void.

    Raises:
        ValueError: If it is no image, or holds an id or a colour that is not VOC's.
    """
    try:
        ids = read_mask(path)
    except BadSampleError as error:
        if error.kind != RGB_MASK:
            raise
        return _ids_of_colours(read_image(path)[..., ::-1], path)
    wrong = np.ones(256, bool)
    wrong[[*range(NUM_CLASSES), VOID]] = False
    check_ids(path, np.bincount(ids.ravel(), minlength=256), wrong)
    return ids


def _ids_of_colours(colours: np.ndarray, path: Path) -> np.ndarray:
    known = {colour: number for number, colour in enumerate(COLOURS)}
    known[VOID_COLOUR] = VOID
    flat, place = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    unknown = [tuple(map(int, colour)) for colour in flat if tuple(colour) not in known]
    if unknown:
        raise ValueError(
            f'{path} holds the colour {unknown[0]}, which PASCAL VOC does not use: '
            'it is not a mask, or was saved with lossy compression.'
        )
    ids = np.array([known[tuple(colour)] for colour in flat], np.uint8)
    return ids[place.reshape(colours.shape[:2])]
