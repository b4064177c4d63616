"""Random scale, crop and flip in one step."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from .random_native_scale import RandomNativeScale, are_numbers, refuse_stock

# Regions start where the pixel grids of both sizes meet, up to this part of the smaller pixel.
ALIGNMENT = 1 / 64


@TRANSFORMS.register_module()
class RandomScaleCropFlip(BaseTransform):
    """``RandomNativeScale``, ``RandomCrop`` and ``RandomFlip``, resizing only what the crop keeps.

    From the same random numbers it makes what the three make one after the other. Label maps are
    identical. Images are resampled up to 1/64 of a pixel beside: at most 9 grey levels off, which
    takes a chequered image; on CamVid's photos cut to 475x333, in 200 draws, 5 at most, and 0.09 on
    average in crops of 321, 0.04 in crops of 513. At 480x360 and the default ``step`` nothing
    differs: the grids of both sizes meet often. How much faster it is: ``docs/benchmarks.md``.

    A crop larger than the scaled image is not padded here. mmseg's ``SegDataPreProcessor`` pads
    right and below to its ``size``, after normalisation: its ``pad_val=0`` is exactly the mean
    colour, which no 8-bit image can hold, and is not distorted by later transforms.

    Args:
        crop_size: Height and width, or one number for both. Required.
        ratio_range: As of :class:`RandomNativeScale`. Default: the paper's 0.5 to 2.0.
        step: As of :class:`RandomNativeScale`.
        cat_max_ratio: Another crop is drawn, up to ten times, while one class has this share of
            the pixels that are not ignored, or more. Default: 1.0, any crop will do, as in the
            paper; mmseg's own configs have 0.75.
        flip_prob: Probability of a left-right flip. Default: 0.5; the paper does not say.
        ignore_index: Label that ``cat_max_ratio`` does not count. By default 255, as in mmseg; our
            commands set it to that of the decode head.
        **stock: None; see below.

    Raises:
        ValueError: If a size is not a positive whole number, a share or a probability not between
            0 and 1, or a scale is one that :class:`RandomNativeScale` refuses; or if an argument of
            ``RandomResize`` or ``RandomFlip`` is not taken here.
    """

    def __init__(
        self,
        crop_size: int | tuple[int, int] | None = None,
        ratio_range: tuple[float, float] = (0.5, 2.0),
        step: float | None = 0.25,
        cat_max_ratio: float = 1.0,
        flip_prob: float = 0.5,
        ignore_index: int = 255,
        **stock,
    ):
        refuse_stock(self, stock)
        size = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
        if not are_numbers(size, 2) or any(not isinstance(side, int) or side < 1 for side in size):
            expected = 'a positive whole number, or (height, width)'
            raise ValueError(f'crop_size must be {expected}, got {crop_size!r}.')
        for name, value in (('cat_max_ratio', cat_max_ratio), ('flip_prob', flip_prob)):
            if not are_numbers([value], 1) or not 0 <= value <= 1:
                raise ValueError(f'{name} must be between 0 and 1, got {value!r}.')
        self.crop_size = tuple(size)
        self.cat_max_ratio = cat_max_ratio
        self.ignore_index = ignore_index
        self.scale = RandomNativeScale(ratio_range, step)
        self.flip_prob = flip_prob

    def transform(self, results: dict) -> dict:
        """Scale, crop and flip ``img``, (H, W) or (H, W, C), and the label maps in ``seg_fields``.

        The keys are those of the three transforms; ``scale`` (width, height) is of the whole image.
        ``cat_max_ratio`` counts ``gt_seg_map``, uint8.
        """
        height, width = results['img'].shape[:2]
        if self.cat_max_ratio < 1:
            kind = getattr(results.get('gt_seg_map'), 'dtype', None)
            if kind != np.uint8:
                wanted = f'gt_seg_map, which must be uint8, got {kind}'
                raise ValueError(f'cat_max_ratio counts {wanted}: use RandomCrop.')

        @lru_cache(None)  # what was counted is what is kept
        def labels_of(field, rows, columns):
            return _nearest_region(results[field], rows, columns)

        labels = results.get('gt_seg_map')
        rows, columns, flip = self._random_region(height, width, labels, labels_of)
        image = _resize_region(results['img'], rows, columns)
        results['img'] = cv2.flip(image, 1) if flip else image
        for field in results.get('seg_fields', []):
            labels = labels_of(field, rows, columns)
            results[field] = cv2.flip(labels, 1) if flip else labels
        results.update(
            img_shape=results['img'].shape[:2],
            scale=(columns.scaled, rows.scaled),
            scale_factor=(columns.scaled / width, rows.scaled / height),
            keep_ratio=False,
            flip=flip,
            flip_direction='horizontal' if flip else None,
        )
        return results

    @cache_randomness
    def _random_region(self, height, width, labels, labels_of):
        """What the crop keeps of the rows and of the columns, and whether to flip."""
        ratio = self.scale._random_ratio()

        def random_crop():
            return tuple(map(_random_interval, (height, width), (ratio, ratio), self.crop_size))

        region = random_crop()
        if self.cat_max_ratio < 1:
            prevalent = self._prevalent(labels)
            monotonous = set()  # where the image is smaller than the crop there is only one region
            for _ in range(10):
                if region not in monotonous:
                    varied = self._is_varied_by(prevalent, labels, *region)
                    if varied is None:
                        varied = self._is_varied(labels_of('gt_seg_map', *region))
                    if varied:
                        break
                    monotonous.add(region)
                region = random_crop()
        return (*region, bool(np.random.random_sample() < self.flip_prob))

    def _is_varied(self, labels):
        """Whether there are two classes, and none with its share of the pixels or more."""
        pixels = cv2.calcHist([labels], [0], None, [256], [0, 256])
        self._leave_out_ignored(pixels)
        return np.count_nonzero(pixels) > 1 and pixels.max() / pixels.sum() < self.cat_max_ratio

    def _prevalent(self, labels):
        """The label of more than half of every 16th pixel of every 16th row, if any."""
        counts = np.bincount(labels[::16, ::16].ravel(), minlength=256)
        self._leave_out_ignored(counts)
        return int(counts.argmax()) if 2 * counts.max() > counts.sum() else None

    def _leave_out_ignored(self, counts):
        if 0 <= self.ignore_index < 256:  # others, as PyTorch's -100, are in no mask
            counts[self.ignore_index] = 0

    def _is_varied_by(self, label, labels, rows, columns):
        """The same from the count of one label, sooner; None if that does not decide it."""
        if label is None:
            return None
        i, j = map(_nearest, (rows, columns))
        picked, pixels = labels[i, j[0] : j[-1] + 1], len(i) * len(j)
        found = _count(picked, label, j)
        if found / pixels >= self.cat_max_ratio:  # the more so without what is ignored
            return False
        pixels -= _count(picked, self.ignore_index, j)
        if found and found / pixels >= self.cat_max_ratio:
            return False
        if found and (pixels - found) / pixels < self.cat_max_ratio:
            return True
        return None

    def __repr__(self) -> str:
        names = 'crop_size', 'scale', 'cat_max_ratio', 'flip_prob', 'ignore_index'
        listed = ', '.join(f'{name}={getattr(self, name)}' for name in names)
        return f'{type(self).__name__}({listed})'


class _Interval(NamedTuple):
    """What is kept of one side: pixels ``start`` to ``stop`` once ``source`` are ``scaled``."""

    source: int
    scaled: int
    start: int
    stop: int


def _random_interval(source, ratio, keep):
    scaled = int(source * ratio + 0.5)
    start = np.random.randint(max(scaled - keep, 0) + 1)
    return _Interval(source, scaled, start, min(start + keep, scaled))


def _resize_region(image, rows, columns):
    """Resize as ``cv2.resize`` does, but only what becomes part of the region."""
    (top, bottom, skip_rows), (left, right, skip_columns) = map(_sources, (rows, columns))
    resized = cv2.resize(
        image[top:bottom, left:right],
        None,
        fx=columns.scaled / columns.source,
        fy=rows.scaled / rows.source,
        interpolation=cv2.INTER_LINEAR,
    )
    return resized[skip_rows:, skip_columns:][
        : rows.stop - rows.start, : columns.stop - columns.start
    ]


def _sources(interval):
    """The source pixels ``[first, end)`` to resize, and how many of the result to leave out."""
    source, scaled, start, stop = interval
    # the first and last half source pixel of what is resized have no neighbour to mix with
    firsts = np.arange(max(start - scaled // source, 0), -1, -1)
    positions = firsts * (source / scaled)  # of the borders of scaled pixels, in source pixels
    distances = np.abs(positions - positions.round()) * max(1, scaled / source)
    best = np.argmax(distances <= ALIGNMENT)  # there always is one: 0 is a border of both
    return round(positions[best]), min(source, stop * source // scaled + 2), start - firsts[best]


def _nearest_region(labels, rows, columns):
    """Exactly the region of ``cv2.resize`` with ``INTER_NEAREST``."""
    i, j = map(_nearest, (rows, columns))
    # whole rows are quick to pick, single columns are not
    picked = cv2.transpose(labels[i, j[0] : j[-1] + 1])
    return cv2.transpose(picked[j - j[0]])


def _nearest(interval):
    """The source pixel of each pixel kept, rounded as OpenCV rounds."""
    source, scaled, start, stop = interval
    pixels = np.arange(start, stop) * (1 / (scaled / source))
    return np.minimum(pixels.astype(np.intp), source - 1)


def _count(picked, label, columns):
    """Pixels that have a label, where whole rows are picked and columns not yet."""
    found = (picked == label).view(np.uint8)
    counts = cv2.reduce(found, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]
    return int(counts[columns - columns[0]].sum())
