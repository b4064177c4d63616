"""An exported file in the place of a model: for prediction, evaluation and TTA."""

import json
import os

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .runtimes import Runtime


@MODELS.register_module()
class ExportedSegmentor(BaseModel):
    """Predicts by a file of ``tools/export.py``; it cannot be trained.

    How images are normalised, and what the output is, the file says itself.

    Args:
        file: Path of the file.
        runtime: As of :class:`.runtimes.Runtime`.

    Raises:
        ValueError: If the file is not one of ``tools/export.py``, or as of ``Runtime``.
    """

    def __init__(self, file: str | os.PathLike, runtime: str | None = None):
        network = Runtime(file, runtime)
        meta = network.metadata
        if 'output' not in meta or 'classes' not in meta:
            raise ValueError(
                f'{file} does not say what it holds: export it by tools/export.py, which writes '
                'classes, colours, mean and deviation into it.'
            )
        self.normalise_inside = json.loads(meta['normalise_inside'])
        numbers = {}
        if not self.normalise_inside and 'mean' in meta:
            numbers = dict(mean=json.loads(meta['mean']), std=json.loads(meta['std']))
        super().__init__(
            SegDataPreProcessor(
                bgr_to_rgb=meta['channel_order'] == 'rgb',
                test_cfg=dict(size_divisor=1),
                **numbers,
            )
        )
        self.network = network
        self.output = meta['output']
        self.threshold = json.loads(meta['threshold'])
        self.classes = tuple(json.loads(meta['classes']))
        self.palette = json.loads(meta['palette'])

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[SegDataSample] | None = None,
        mode: str = 'tensor',
    ) -> list[SegDataSample]:
        """Predict a batch.

        Args:
            inputs: (N, 3, H, W), as of the data preprocessor.
            data_samples: Their meta information.
            mode: 'predict'.

        Returns:
            Each with ``pred_sem_seg``, (1, H, W), and, unless the file gives classes alone,
            ``seg_logits``, (num_classes, H, W).

        Raises:
            ValueError: For another mode.
        """
        if mode != 'predict':
            raise ValueError(f'An exported file only predicts, but mode {mode!r} was asked for.')
        image = inputs.to(torch.uint8) if self.normalise_inside else inputs.float()
        found = torch.from_numpy(np.asarray(self.network(image.cpu().numpy())))
        samples = data_samples or [SegDataSample() for _ in found]
        for sample, one in zip(samples, found):
            if self.output == 'classes':
                sample.pred_sem_seg = PixelData(data=one[None])
                continue
            scores = self._scores(one)
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=self._classes(scores))
        return samples

    def _scores(self, one: Tensor) -> Tensor:
        """What ``EncoderDecoder`` hands on: logits, or of a single channel its sigmoid."""
        if self.output == 'probabilities':
            return one.clamp_min(torch.finfo(one.dtype).tiny).log()
        return one.sigmoid() if len(one) == 1 else one

    def _classes(self, scores: Tensor) -> Tensor:
        if len(scores) == 1:
            return (scores > self.threshold).long()
        return scores.argmax(0, keepdim=True)
