"""Mean IoU from exact counts."""

import os.path as osp
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS
from PIL import Image
from torch import Tensor

from ..datasets.lists import common_folder
from ..files import written_aside
from .boundary_iou import trimap
from .confusion import class_areas, class_scores, class_table, label_counts

SCORES = dict(mIoU=('IoU', 'Acc'), mDice=('Dice', 'Acc'), mFscore=('Fscore', 'Precision', 'Recall'))


@METRICS.register_module()
class ConfusionIoUMetric(BaseMetric):
    """Scores and arguments of mmseg's ``IoUMetric``, from one count of each image.

    Faster, and exact: pixels are summed as integers, where ``IoUMetric`` sums them in float32. The
    prediction stays on its device until it is counted. In a distributed run the counts of each
    image are collected, so that images which fill up the last batch do not count twice.

    Labels that are no class are an error, where ``IoUMetric`` gives wrong numbers.

    Beside the means, the IoU and accuracy of each class are scalars too, ``IoU/<class>`` and
    ``Acc/<class>`` (https://github.com/open-mmlab/mmsegmentation/issues/2354), and the log tells
    the images with the lowest mIoU over the classes that occur in them.

    Args:
        iou_metrics: 'mIoU' (and mAcc), 'mDice' (and mAcc), 'mFscore' (and mPrecision, mRecall), one
            or several. Default: the first two; mmseg's is the first.
        nan_to_num: Score of a class that has none. Default: None, it does not count.
        beta: Of 'mFscore': how much more recall counts than precision. Default: 1.
        ignore_index: Label of pixels that do not count, 0 to 65535; above 255 labels are those of
            masks of 16 bits. Default: 255, mmseg's.
        trimap_widths: Widths in pixels: adds ``mIoU_trimap<width>``, the mIoU of the pixels so
            near to a boundary, see ``trimap``. Default: none.
        num_worst: How many of the worst images to name. Default: 10.
        output_dir: Folder for the predictions, as PNG images of class ids (16 bits from 256
            classes on); one higher in datasets with ``reduce_zero_label``. Images of several
            folders keep these below their common one; until the end all are in ``unsorted``.
            Default: none are written.
        format_only: Write predictions only, for data without ground truth.
        collect_device: 'cpu' or 'gpu', by which processes exchange their counts.
        prefix: Put before the names of the scores.
        **kwargs: Without effect, as in ``IoUMetric``: mmseg's test tool sets ``keep_results``.

    Raises:
        ValueError: If an argument is out of range, ``format_only`` comes without ``output_dir``, or
            an image has labels or predictions that are no class, no ground truth, or one of another
            size.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        trimap_widths: Sequence[int] = (),
        num_worst: int = 10,
        output_dir: str | None = None,
        format_only: bool = False,
        iou_metrics: Sequence[str] | str = ('mIoU', 'mDice'),
        nan_to_num: float | None = None,
        beta: float = 1,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        **kwargs,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not 0 <= ignore_index <= 65535:
            raise ValueError(f'ignore_index must be 0 to 65535, got {ignore_index}.')
        if any(not isinstance(width, int) or width < 1 for width in trimap_widths):
            raise ValueError(f'trimap_widths must be whole pixels from 1 on, got {trimap_widths}.')
        if format_only and not output_dir:
            raise ValueError('format_only=True needs an output_dir to write to.')
        iou_metrics = [iou_metrics] if isinstance(iou_metrics, str) else iou_metrics
        if not set(iou_metrics) <= set(SCORES):
            raise ValueError(f'iou_metrics must be of {", ".join(SCORES)}, got {iou_metrics}.')
        self.scores = list(dict.fromkeys(name for kind in iou_metrics for name in SCORES[kind]))
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.ignore_index = ignore_index
        self.trimap_widths = trimap_widths
        self.num_worst = num_worst
        self.output_dir = Path(output_dir) if output_dir else None
        self.format_only = format_only
        if self.output_dir:
            self.output_dir.mkdir(parents=True, exist_ok=True)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Of ``data_samples``, the ``data`` of ``pred_sem_seg`` and ``gt_sem_seg`` are ids, (1, H, W);
        ``img_path`` is for ``output_dir`` and messages. ``data_batch`` is not used.
        """
        for sample in data_samples:
            predictions = sample['pred_sem_seg']['data']
            path = sample.get('img_path', f'image {len(self.results)}')
            areas = None if self.format_only else self._areas(path, sample, predictions)
            self.results.append((path, areas))
            if self.output_dir:
                self._write(sample, predictions)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the scores, in percent with 2 digits, and log a table of them.

        Of each image, ``results`` have its path and its areas, int64 (1 + number of trimap widths,
        3, num_classes), as by ``class_areas``. A class that is nowhere has no score.
        """
        if self.output_dir:
            self._sort({path for path, _ in results})
        if self.format_only:
            print_log(f'The predictions are in {self.output_dir}.', 'current')
            return {}
        whole, *bands = sum(areas for _, areas in results)
        classes = self.dataset_meta['classes']
        scores = class_scores(whole, self.beta)
        scores = {name: scores[name] for name in self.scores}
        if self.nan_to_num is not None:
            scores = {k: np.nan_to_num(values, nan=self.nan_to_num) for k, values in scores.items()}
        table = class_table(classes, scores, 'in %', 'mean')
        print_log(f'Scores of each class:\n{table}', 'current')
        self._log_worst(results)

        metrics = dict(aAcc=whole[0].sum() / whole[2].sum())
        metrics.update((f'm{name}', np.nanmean(values)) for name, values in scores.items())
        for width, band in zip(self.trimap_widths, bands):
            metrics[f'mIoU_trimap{width}'] = np.nanmean(class_scores(band)['IoU'])
        for name in [name for name in scores if name in ('IoU', 'Acc')]:
            metrics.update((f'{name}/{c}', value) for c, value in zip(classes, scores[name]))
        return {
            name: round(100 * float(value), 2)
            for name, value in metrics.items()
            if not np.isnan(value)
        }

    def _areas(self, image: str, sample: dict, predictions: Tensor) -> np.ndarray:
        """Areas of one image, (1 + number of trimap widths, 3, num_classes)."""
        path = sample.get('seg_map_path', image)
        if 'gt_sem_seg' not in sample:
            cure = 'format_only=True with an output_dir writes predictions alone'
            raise ValueError(f'{image} has no ground truth to evaluate with; {cure}.')
        labels = sample['gt_sem_seg']['data']
        size = predictions.shape[-2:]
        if labels.shape[-2:] != size:
            raise ValueError(
                f'{path} has {tuple(labels.shape[-2:])} pixels and the prediction for '
                f'{image} {tuple(size)} (height, width); both must have the same size.'
            )
        on_device = labels.to(predictions.device)
        counts = [self._matrix(path, on_device, predictions)]
        for width in self.trimap_widths:
            band = trimap(labels.cpu().numpy().astype(np.uint16).reshape(size), width)
            band = torch.from_numpy(band).to(predictions.device)
            pair = (ids.reshape(size)[band] for ids in (on_device, predictions))
            counts.append(self._matrix(path, *pair))
        return np.array([class_areas(matrix) for matrix in counts])

    def _matrix(self, path: str, labels: Tensor, predictions: Tensor) -> np.ndarray:
        """Confusion matrix of the pixels that count."""
        classes = len(self.dataset_meta['classes'])
        if self.ignore_index > 255:
            counted = labels != self.ignore_index
            labels, predictions = labels[counted], predictions[counted]
        try:
            counts = label_counts(labels, predictions, classes)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        if self.ignore_index < 256:
            counts[self.ignore_index] = 0
        if counts[classes:].any():
            wrong = np.flatnonzero(counts[classes:].any(axis=1))[0] + classes
            raise ValueError(
                f'{path}: label {wrong} ({counts[wrong].sum()} pixels) is no class; expected '
                f'0 to {classes - 1}, or ignore_index={self.ignore_index}.'
            )
        return counts[:classes]

    def _log_worst(self, results: list) -> None:
        miou = sorted(
            (np.nanmean(class_scores(whole)['IoU']), path)
            for path, (whole, *_) in results
            if whole.any()  # else all of it is ignored
        )
        lines = [f'{100 * value:6.2f}  {path}' for value, path in miou[: self.num_worst]]
        if lines:
            print_log('\n'.join(['Images with the lowest mIoU:', *lines]), 'current')

    def _write(self, sample: dict, predictions: Tensor) -> None:
        ids = predictions.reshape(predictions.shape[-2:]).long().cpu().numpy()
        ids = ids + bool(sample.get('reduce_zero_label'))
        classes = (self.dataset_meta or {}).get('classes', ())
        ids = ids.astype(np.uint8 if len(classes) < 256 else np.uint16)
        with written_aside(self._unsorted(sample['img_path'])) as aside:
            Image.fromarray(ids).save(aside, 'PNG')

    def _unsorted(self, image: str) -> Path:
        """Where a prediction is until the common folder of all images is known."""
        return Path(f'{self.output_dir}/unsorted{osp.abspath(image)}.png')

    def _sort(self, images: set[str]) -> None:
        common = self._unsorted(f'{common_folder(images)}/_').parent
        usual = {image: Path(image).with_suffix('.png') for image in images}  # not of x.jpg + x.png
        number = Counter(usual.values())
        for image, name in usual.items():
            source = self._unsorted(image)
            target = self.output_dir / source.relative_to(common)
            if number[name] == 1:
                target = target.with_name(name.name)
            if source.exists():  # else another metric has moved it
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
        shutil.rmtree(self.output_dir / 'unsorted', ignore_errors=True)
