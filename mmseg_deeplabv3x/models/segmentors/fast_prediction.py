"""Prediction without BN, without needless copies, and without logits of the image's size."""

from __future__ import annotations

import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample
from torch import Tensor

from ...ops import upsampled_argmax
from ..channels_last_preprocessor import ChannelsLastPreProcessor
from ..layers.fuse_conv_bn import fuse_conv_bn
from ..layers.rebuild import rebuild
from ..layers.valid_tap_conv import speed_up_convs


class FastPredictionMixin:
    """For a segmentor with ``pad``: a network that only predicts can be sped up.

    Nothing changes until :meth:`speed_up` is called, and predictions stay the same up to rounding.
    """

    _speed = None

    def speed_up(self, probabilities: bool = False) -> FastPredictionMixin:
        """Prepare for prediction, once and for all.

        BN is folded into the convolutions before it and weights are stored in channels_last. On a
        CPU, oneDNN computes all convolutions and a :class:`ChannelsLastPreProcessor` normalises in
        place of ``SegDataPreProcessor``. Whole images at their own size get their classes straight
        from the network's logits, unless probabilities are asked for.

        Args:
            probabilities: Whether predictions keep ``seg_logits``. Default: False.

        Returns:
            The segmentor, in evaluation mode.
        """
        self.eval()
        if self._speed is None:
            fuse_conv_bn(self)
            self.to(memory_format=torch.channels_last)
            speed_up_convs(self)
            if type(self.data_preprocessor) is SegDataPreProcessor:
                self.data_preprocessor = rebuild(ChannelsLastPreProcessor, self.data_preprocessor)
        self._speed = 'probabilities' if probabilities else 'classes'
        return self

    def train(self, mode: bool = True):
        """Set training or evaluation mode.

        Raises:
            RuntimeError: In training mode, after :meth:`speed_up`.
        """
        if mode and self._speed is not None:
            raise RuntimeError('After speed_up() there is no BN: train a model built anew.')
        return super().train(mode)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None):
        """Predict a batch, as in ``EncoderDecoder``.

        Args:
            inputs: Normalised images, (N, 3, H, W).
            data_samples: Their meta information.

        Returns:
            Each with ``pred_sem_seg``, (1, H, W), and, unless only classes are
            wanted after :meth:`speed_up`, ``seg_logits``, (num_classes, H, W).
        """
        if self._speed is not None:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if self._speed != 'classes' or not self._native(inputs, data_samples):
            return super().predict(inputs, data_samples)
        size = inputs.shape[2:]
        padded = self.pad(inputs)
        logits = self.decode_head(self.extract_feat(padded))
        classes = upsampled_argmax(logits, padded.shape[2:], self.align_corners, keep=size)
        samples = data_samples or [SegDataSample() for _ in classes]
        for sample, found in zip(samples, classes):
            sample.pred_sem_seg = PixelData(data=found[None])
        return samples

    def _native(self, inputs, data_samples) -> bool:
        """Whether predictions are at the size of the inputs, and are more than a threshold."""
        if self.test_cfg.mode != 'whole' or self.out_channels == 1:
            return False
        return all(
            tuple(sample.ori_shape) == inputs.shape[2:]
            and not sample.get('flip')
            and not any(sample.get('img_padding_size', sample.get('padding_size', ())))
            for sample in data_samples or ()
        )
