"""One image and its mask."""

import copy
import hashlib
from typing import NamedTuple

import numpy as np

from ..datasets.reading import BadSampleError, check_ids, read_header, read_image
from .problem import Problem
from .splits import Split


class Sample(NamedTuple):
    """What was found in an image and its mask."""

    problems: list[Problem]  # at most one of the image and one of the mask
    pixels: np.ndarray  # of each class, (num_classes,); zeros where the mask is bad or not there
    ignored: int  # pixels of the mask that do not count
    content: tuple | None  # the same for images with the same pixels; None if there is none


def check_sample(split: Split, info: dict) -> Sample:
    """Load an image and its mask, of a split and with this annotation, as the pipeline does."""
    problems, results, content = [], dict(info, seg_fields=[]), None
    pixels, ignored = np.zeros(len(split.metainfo['classes']), np.int64), 0
    image, mask = info['img_path'], info.get('seg_map_path')
    try:
        if split.load_image:
            results = split.load_image(results)
            loaded = np.ascontiguousarray(results['img'])
            content = loaded.shape, hashlib.blake2b(loaded).digest()
            _check_depth(split, image, loaded)
    except BadSampleError as error:
        problems.append(Problem(split.name, error.kind, image, str(error), info))
    if mask is None or not split.load_mask:
        return Sample(problems, pixels, ignored, content)
    try:
        if 'img' in results:
            _check_turned(split, image, mask, results['img'].shape[:2])
        counts = np.bincount(_labels(split, results).ravel(), minlength=max(256, len(pixels)))
        if split.changes:
            labels = np.arange(len(counts))
            check_ids(mask, counts, (labels >= len(pixels)) & (labels != split.ignore_index))
        if 0 <= split.ignore_index < len(counts):
            ignored, counts[split.ignore_index] = int(counts[split.ignore_index]), 0
        pixels[:] = counts[: len(pixels)]
        if not pixels.any():
            raise BadSampleError(
                f'The mask {mask} has no class: all its pixels are ignored.', 'all ignored'
            )
    except BadSampleError as error:
        problems.append(Problem(split.name, error.kind, mask, str(error), info))
    except ValueError as error:  # not of the file
        problems.append(Problem(split.name, 'config', mask, str(error)))
    return Sample(problems, pixels, ignored, content)


def _labels(split: Split, results: dict) -> np.ndarray:
    """The mask; where its ids are no classes, as the user's own steps make classes of them.

    Only there, since these steps may be slow, or wait for ever. What becomes of an id is seen in a
    mask of this id alone, which crops and flips leave as it is.
    """
    results = split.load_mask(results)
    path, mask = results['seg_map_path'], results['gt_seg_map']
    present, places = np.unique(mask, return_inverse=True)
    classes = {*range(len(split.metainfo['classes'])), split.ignore_index}
    if not split.changes or classes.issuperset(present.tolist()):
        return mask
    try:
        for label in present.tolist():
            if label not in split.known_ids:
                alone = dict(copy.deepcopy(results), gt_seg_map=np.full_like(mask, label))
                for step in split.changes:
                    alone = step(alone)
                made = {*np.unique(alone['gt_seg_map']).tolist()}
                made = made - {split.ignore_index} or made  # which may be padding
                if len(made) > 1:
                    raise ValueError(f'the steps of the pipeline make several of {label}')
                split.known_ids[label] = made.pop()
    except Exception as error:  # the step needs others before it
        message = f'The ids of {path} were not checked: {error!r}.'
        raise BadSampleError(message, 'not checked') from error
    return np.array([split.known_ids[label] for label in present.tolist()])[places]


def _check_depth(split: Split, path: str, image: np.ndarray) -> None:
    """Values of 10, 12 or 14 bits, in files of 16: loaded as 8 bits, only the upper ones remain."""
    if image.dtype == np.uint8 and image.max() < 64:
        load = split.load_image
        whole = read_image(path, load.backend_args, 'unchanged', load.imdecode_backend)
        if whole.dtype == np.uint16:
            raise BadSampleError(
                f'{path} holds values of 16 bits up to {whole.max()}, which become 0 to '
                f'{image.max()} of 255: scale them to 65535 or to 8 bits, or load them with '
                "color_type='unchanged'.",
                'few bits',
            )


def _check_turned(split: Split, image: str, mask: str, shape: tuple[int, int]) -> None:
    """Masks are not turned on loading."""
    if split.load_image.color_type not in ('color', 'grayscale'):
        return
    try:
        stored, turned = read_header(image, split.load_image.backend_args)
        if not turned or read_header(mask, split.load_mask.backend_args)[0] != stored:
            return
    except BadSampleError:  # unknown to Pillow, or bad, which the loader says
        return
    raise BadSampleError(
        f'{image} is turned on loading, as its EXIF orientation {turned} says, and its mask {mask} '
        'is not: save the image as it should lie, without EXIF.',
        'turned' if stored == shape else 'size',
    )
