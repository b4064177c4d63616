"""Multi-scale and flipped evaluation."""

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor


@MODELS.register_module()
class RunningMeanTTAModel(SegTTAModel):
    """Mean of the probabilities of all views of an image (paper, section 4.2).

    Each view's probabilities, at the image's own size and flipped back, are added to one sum as
    soon as they are there. So memory does not grow with the number of views; mmseg's
    ``SegTTAModel``, whose place this takes, keeps the logits of all of them (for the paper's 12
    views of a 2048x1024 image with 19 classes, 1.9 GB).

    Args:
        module: The segmentor.
        data_preprocessor: As in mmengine's ``BaseTTAModel``.
    """

    @torch.no_grad()
    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predict a batch of images from their views.

        Args:
            data: ``inputs`` and ``data_samples``, each a list with one entry per view,
                which holds one item per image.

        Returns:
            For each image, ``pred_sem_seg`` (1, H, W), and ``seg_logits``
            (num_classes, H, W), which here are mean probabilities.
        """
        views = [dict(zip(data, view)) for view in zip(*data.values())]
        sums = None
        for view in views:
            samples = self.module.test_step(view)
            probabilities = [self._probabilities(s.seg_logits.data) for s in samples]
            if sums is None:
                sums = probabilities
            else:
                for total, one in zip(sums, probabilities):
                    total += one
            for sample in samples:
                del sample.seg_logits
        for sample, total in zip(samples, sums):
            mean = total / len(views)
            sample.set_data(
                dict(
                    seg_logits=PixelData(data=mean),
                    pred_sem_seg=PixelData(data=self._classes(mean)),
                )
            )
        return samples

    def speed_up(self) -> 'RunningMeanTTAModel':
        """Prepare for prediction: see :meth:`FastPredictionMixin.speed_up`."""
        self.module.speed_up(probabilities=True)
        return self

    def _probabilities(self, scores: Tensor) -> Tensor:
        # with one output channel, the segmentor's scores are probabilities already
        return scores.softmax(dim=0) if len(scores) > 1 else scores

    def _classes(self, mean: Tensor) -> Tensor:
        if len(mean) > 1:
            return mean.argmax(dim=0, keepdim=True)
        return (mean > self.module.decode_head.threshold).to(mean)
