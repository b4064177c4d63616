"""Multi-scale and flipped evaluation."""

from collections.abc import Sequence

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

    A result's labels and meta information are those of the image's first view that is not mirrored,
    of the image's own size if there is one, as the result is. So labels may be loaded before the
    views are made, or after.

    Args:
        module: The segmentor.
        data_preprocessor: As in mmengine's ``BaseTTAModel``.
    """

    @torch.no_grad()
    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predict a batch of images from their views.

        ``inputs`` and ``data_samples`` of ``data`` are lists of views, each of one item per image.
        A result has ``pred_sem_seg``, (1, H, W), and as ``seg_logits``, (num_classes, H, W), mean
        probabilities.

        Raises:
            ValueError: If each view is mirrored, and so perhaps the labels.
        """
        views = [dict(zip(data, view)) for view in zip(*data.values())]
        sums, kept = None, []
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
            kept.append(samples)
        results = [_as_the_image_is(samples) for samples in zip(*kept)]
        for sample, total in zip(results, sums):
            mean = total / len(views)
            sample.seg_logits = PixelData(data=mean)
            sample.pred_sem_seg = PixelData(data=self._classes(mean))
        return results

    def speed_up(self, probabilities: bool = True, **how) -> 'RunningMeanTTAModel':
        """Prepare for prediction: see :meth:`FastPredictionMixin.speed_up`."""
        self.module.speed_up(probabilities=True, **how)
        return self

    def _probabilities(self, scores: Tensor) -> Tensor:
        scores = scores.float()  # of autocast, too few digits for a sum
        # with one output channel, the segmentor's scores are probabilities already
        return scores.softmax(dim=0) if len(scores) > 1 else scores

    def _classes(self, mean: Tensor) -> Tensor:
        if len(mean) > 1:
            return mean.argmax(dim=0, keepdim=True)
        return (mean > self.module.decode_head.threshold).to(mean)


def _as_the_image_is(views: Sequence[SegDataSample]) -> SegDataSample:
    """The first of an image's views whose labels lie as the merged prediction does."""
    if 'gt_sem_seg' not in views[0]:
        return views[0]

    def is_other(sample):
        return sample.get('flip', False), sample.gt_sem_seg.shape[-2:] != sample.ori_shape[:2]

    best = min(views, key=is_other)
    if best.get('flip'):
        raise ValueError(
            f'{best.get("img_path")}: all its views are mirrored, and so perhaps its labels: add a '
            'view with RandomFlip(prob=0.0).'
        )
    return best
