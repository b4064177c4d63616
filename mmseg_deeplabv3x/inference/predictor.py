"""Predictions on images of one's own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby, product
from typing import overload

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.models.segmentors import SegTTAModel
from PIL import Image, ImageOps
from torch import Tensor

from ..datasets.reading import read_image
from ..engine.checkpoints.loading import inner_model
from ..models import RunningMeanTTAModel
from ..models.segmentors.fast_prediction import PRECISIONS, speed_up
from .exported_segmentor import ExportedSegmentor
from .loading import load
from .segmentation import Segmentation

# Larger images are cut into tiles: some 2 GB for a ResNet-101 at output_stride 8.
MAX_PIXELS = 2048 * 2048
TILE, TILE_STRIDE = 1025, 769

ImageLike = str | os.PathLike | np.ndarray | Image.Image | Tensor


class DeepLabV3Predictor:
    """A trained segmentor, to be called with images.

    ::

        predictor = DeepLabV3Predictor(checkpoint='work_dirs/x/iter_30000.pth')
        predictor('photo.jpg').save('mask.png')

    It holds one model and no state between calls: threads may share it. Images go through the
    transforms of the config's test.

    Args:
        config: A config file or config. Default: None, the config that mmengine stored in the
            checkpoint; it is parsed as data and never executed.
        checkpoint: The weights, all of the model's; or a file of ``tools/export.py``, which needs
            no config.
        device: As of PyTorch. Default: the first GPU, else the CPU.
        fast: Whether to call the model's ``speed_up()``, if it has one: the same classes up to
            rounding, sooner, after a start of some seconds where OpenVINO computes, which the log
            tells. Default: True.
        precision: 'fp32', 'bf16' or 'fp16' (GPU only). Default: 'fp32'.
        output_stride: To predict at; needs a ``DeepLabV3``. Default: that of the config's test.
        slide: Size and stride of square tiles, in pixels, that each image is cut into
            (:func:`tiles`). Default: None, tiles of 1025 at a stride of 769, for images of
            more than 4 million pixels only.
        probabilities: Whether results hold them. Default: False.
        runtime: For an exported file: 'torch', 'onnxruntime' or 'openvino'. Default: the first one
            that reads such a file.
        fast_runtime: What computes on a CPU if ``fast``: 'openvino' or 'torch'. Default: OpenVINO
            where it is installed; for a few images PyTorch, without that start, is sooner.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the checkpoint holds no config and none is given, the checkpoint does not fit
            the model, or an argument is none of those above.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None = None,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        fast: bool = True,
        precision: str = 'fp32',
        output_stride: int | None = None,
        slide: tuple[int, int] | None = None,
        probabilities: bool = False,
        runtime: str | None = None,
        fast_runtime: str | None = None,
    ):
        if checkpoint is None:
            raise ValueError('DeepLabV3Predictor needs a checkpoint, the file with the weights.')
        if precision not in PRECISIONS:
            raise ValueError(
                f'precision must be one of {", ".join(PRECISIONS)}, but got {precision!r}.'
            )
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        if precision == 'fp16' and self.device.type == 'cpu':
            raise ValueError("precision 'fp16' needs a GPU: use 'bf16' on a CPU.")
        if slide is not None:
            next(tiles(1, 1, *slide))  # refuses what cannot be
        loaded = load(config, os.fspath(checkpoint), str(self.device), runtime, output_stride)
        self.model, self.transforms, self.classes, self.palette, _ = loaded
        network = inner_model(self.model)
        if isinstance(network, ExportedSegmentor):
            if precision != 'fp32':
                raise ValueError(f'{checkpoint} has its own precision, but got {precision!r}.')
            if probabilities and network.output == 'classes':
                raise ValueError(f'{checkpoint} gives classes alone: export its probabilities.')
        self.precision, self.slide, self.probabilities = precision, slide, probabilities
        # mmseg's own model of test-time augmentation has none, whatever is in it
        self.fast = fast and all(hasattr(part, 'speed_up') for part in (self.model, network))
        if self.fast:
            speed_up(self.model, precision, fast_runtime, probabilities=probabilities)

    @overload
    def __call__(
        self, image: ImageLike, channel_order: str = ..., batch_size: int = ...
    ) -> Segmentation: ...

    @overload
    def __call__(
        self, image: Sequence[ImageLike], channel_order: str = ..., batch_size: int = ...
    ) -> list[Segmentation]: ...

    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        channel_order: str = 'rgb',
        batch_size: int = 1,
    ) -> Segmentation | list[Segmentation]:
        """Predict.

        Args:
            image: A path or address; a PIL image; an array (H, W), (H, W, 1), (H, W, 3) or
                (H, W, 4) of uint8; a tensor (C, H, W) of uint8 or of numbers from 0 to 1; or a
                list of such. A photo is turned as its EXIF orientation says, gray becomes three
                equal channels, alpha is left out.
            channel_order: Of arrays and tensors: 'rgb' or 'bgr', as OpenCV has it. Default: 'rgb'.
            batch_size: How many images of a list, if of one size, go through the network together.
                Default: 1.

        Returns:
            The result, at the image's own size; a list of them for a list.

        Raises:
            ValueError: If an image cannot be read or is none of the above.
        """
        if channel_order not in ('rgb', 'bgr'):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', but got {channel_order!r}.")
        if not isinstance(image, (list, tuple)):
            return self([image], channel_order)[0]
        arrays = [as_bgr(one, channel_order) for one in image]
        results = []
        for _, alike in groupby(arrays, key=lambda array: array.shape):
            alike = list(alike)
            for start in range(0, len(alike), batch_size):
                results += self._predict(alike[start : start + batch_size])
        return results

    def _predict(self, images: list[np.ndarray]) -> Iterator[Segmentation]:
        height, width = images[0].shape[:2]
        slide = self.slide or ((TILE, TILE_STRIDE) if height * width > MAX_PIXELS else None)
        found = [self._run_tiles(i, *slide) for i in images] if slide else self._run(images)
        for image, (mask, probabilities) in zip(images, found):
            yield Segmentation(mask, self.classes, self.palette, image[..., ::-1], probabilities)

    def _run_tiles(self, image: np.ndarray, crop: int, stride: int):
        size = image.shape[:2]
        mask, probabilities = np.empty(size, self._dtype), None
        for tile, kept in tiles(*size, crop, stride):
            ((found, scores),) = self._run([image[tile]])
            inner = tuple(slice(k.start - t.start, k.stop - t.start) for k, t in zip(kept, tile))
            mask[kept] = found[inner]
            if scores is not None:
                if probabilities is None:
                    probabilities = np.empty((len(scores), *size), np.float32)
                probabilities[(slice(None), *kept)] = scores[(slice(None), *inner)]
        return mask, probabilities

    @torch.inference_mode()
    def _run(self, images: list[np.ndarray]):
        """Mask and probabilities, or None in their place, of images of one size."""
        # contiguous: a tile is a view
        inputs = [self.transforms(dict(img=np.ascontiguousarray(image))) for image in images]
        dtype = None if self.fast else PRECISIONS[self.precision]
        autocast = torch.autocast(self.device.type, dtype) if dtype else nullcontext()
        with autocast:
            samples = self.model.test_step(pseudo_collate(inputs))
        return [
            (s.pred_sem_seg.data[0].cpu().numpy().astype(self._dtype), self._probabilities(s))
            for s in samples
        ]

    def _probabilities(self, sample) -> np.ndarray | None:
        if not self.probabilities:
            return None
        scores = sample.seg_logits.data.float()
        if not isinstance(self.model, (RunningMeanTTAModel, SegTTAModel)) and len(scores) > 1:
            scores = scores.softmax(0)
        if len(scores) == 1:  # of the second of two classes
            scores = torch.cat([1 - scores, scores])
        return scores.cpu().numpy()

    @property
    def _dtype(self) -> type:
        return np.uint8 if len(self.classes) <= 255 else np.uint16


def as_bgr(image: ImageLike, channel_order: str = 'rgb') -> np.ndarray:
    """Any kind of image as OpenCV and mmseg have it: uint8 (H, W, 3), BGR.

    Image and channel_order are as of :meth:`DeepLabV3Predictor.__call__`. What cannot be read, or
    is no image, is a ValueError.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(os.fspath(image))
    if isinstance(image, Image.Image):
        image, channel_order = np.asarray(ImageOps.exif_transpose(image).convert('RGB')), 'rgb'
    if isinstance(image, Tensor):
        if image.is_floating_point():
            if not 0 <= float(image.min()) <= float(image.max()) <= 1:
                raise ValueError(
                    'A tensor of floating point numbers must hold an image from 0 to 1, but holds '
                    f'{float(image.min()):g} to {float(image.max()):g}.'
                )
            image = (image * 255).round().to(torch.uint8)
        image = image.movedim(0, -1).cpu().numpy() if image.ndim == 3 else image.cpu().numpy()
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f'an array of {image.dtype}' if isinstance(image, np.ndarray) else type(image)
        raise ValueError(f'An image must be a path, a PIL image, or uint8, but got {kind}.')
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f'An image must be (H, W) or (H, W, 1, 3 or 4), but got {image.shape}.')
    image = image.repeat(3, 2) if image.shape[2] == 1 else image[..., :3]
    return np.ascontiguousarray(image[..., ::-1] if channel_order == 'rgb' else image)


def tiles(
    height: int, width: int, crop: int, stride: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Tiles that cover an image, too large for the memory, and the part of each that is kept.

    Each pixel is kept from the tile in which it lies farthest from the border, where the network
    sees most of its surroundings. So the result of a tile can be written and forgotten, and memory
    does not grow with image or classes. (mmseg's ``mode='slide'`` averages the logits of all tiles
    over a pixel, and holds them for the whole image.)

    Yields rows and columns of a tile, ``crop`` pixels a side or what the image has, and of its kept
    part, both in the image. A ``stride`` that is not from 1 to ``crop`` is a ValueError.
    """
    if not 1 <= stride <= crop:
        raise ValueError(
            f'The stride of tiles must be from 1 to their size {crop}, but got {stride}.'
        )
    for rows, columns in product(*(_spans(size, crop, stride) for size in (height, width))):
        yield tuple(zip(rows, columns))


def _spans(size: int, crop: int, stride: int) -> list[tuple[slice, slice]]:
    crop = min(crop, size)
    starts = [*range(0, size - crop, stride), size - crop]
    # between two tiles, the middle of what both cover
    borders = [0, *((b + a + crop) // 2 for a, b in zip(starts, starts[1:])), size]
    return [
        (slice(start, start + crop), slice(first, last))
        for start, first, last in zip(starts, borders, borders[1:])
    ]
