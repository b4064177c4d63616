"""Masks as PNG images of class ids: with PASCAL VOC's palette or another one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from .reading import RGB_MASK, WIDE_VOID, BadSampleError, check_ids, read_image, read_mask

VOID = 255
VOID_COLOUR = (224, 224, 192)
COLOURS = [tuple(colour) for colour in PascalVOCDataset.METAINFO['palette']]
NUM_CLASSES = len(COLOURS)
_MANY = 20  # unknown colours of one mask: more are hardly classes


def void_of(num_classes: int) -> int:
    """The id of pixels without a label: 255, or 65535 where classes need masks of 16 bits."""
    return VOID if num_classes <= VOID else WIDE_VOID


def save_voc_mask(file: Path | BinaryIO, ids: np.ndarray) -> None:
    """Write class ids, uint8 (H, W), as a PNG with VOC's palette."""
    save_mask(file, ids, COLOURS)


def save_mask(file: Path | BinaryIO, ids: np.ndarray, colours: Sequence[tuple]) -> None:
    """Write class ids (H, W) as a PNG with the RGB of each class; gray, 16 bits, from 256 on."""
    if len(colours) > VOID:
        Image.fromarray(ids.astype(np.uint16)).save(file, 'PNG')
        return
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)] = colours
    palette[VOID] = VOID_COLOUR
    mask = Image.fromarray(ids.astype(np.uint8))
    mask.putpalette(palette.tobytes())
    mask.save(file, 'PNG')


def voc_colours(number: int) -> list[tuple[int, int, int]]:
    """Colours for classes that bring none: PASCAL VOC's rule, the bits of a class dealt out."""
    return [
        tuple(
            sum((n >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3)
        )
        for n in range(number)
    ]


def read_voc_mask(path: Path) -> np.ndarray:
    """Read VOC's class ids, uint8 (H, W), 255 where void; a mask may be painted in VOC's colours.

    Refuses, by a ValueError, an id or a colour that is not VOC's.
    """
    try:
        ids = read_mask(path)
    except BadSampleError as error:
        if error.kind != RGB_MASK:
            raise
        known = {**dict(zip(COLOURS, range(NUM_CLASSES))), VOID_COLOUR: VOID}
        return ids_of_colours(read_image(path)[..., ::-1], known, path, 'PASCAL VOC')
    wrong = np.ones(256, bool)
    wrong[[*range(NUM_CLASSES), VOID]] = False
    check_ids(path, np.bincount(ids.ravel(), minlength=256), wrong)
    return ids


def ids_of_colours(
    pixels: np.ndarray, known: Mapping[tuple, int], path: str | Path, whose: str, remedy: str = ''
) -> np.ndarray:
    """Class ids (H, W), in 8 or 16 bits, of RGB pixels, uint8 (H, W, 3).

    Refuses, by a ValueError, a colour that has no id in ``known``; ``whose`` says who knows them,
    and ``remedy`` what to do about one, with ``{}`` for its red, green and blue.
    """
    packed = pixels.astype(np.int32) @ (1 << 16, 1 << 8, 1)
    flat, place = np.unique(packed, return_inverse=True)
    colours = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in flat]
    unknown = [colour for colour in colours if colour not in known]
    if unknown:
        advice = [remedy.format(*unknown[0])] if remedy else []
        if not remedy or len(unknown) > _MANY:
            advice.append('it is not a mask, or was saved with lossy compression')
        more = f' and {len(unknown) - 1} more' if len(unknown) > 1 else ''
        raise ValueError(
            f'{path} holds the colour {unknown[0]}{more}, which {whose} does not use: '
            f'{"; or ".join(advice)}.'
        )
    ids = np.array([known[colour] for colour in colours])
    return ids.astype(np.min_scalar_type(max(known.values())))[place.reshape(packed.shape)]
