"""How often each class was taken for each class, and what follows from it: IoU, accuracy, Dice."""

import cv2
import numpy as np
import torch
from prettytable import PrettyTable, TableStyle
from torch import Tensor

_IDS = 256  # most masks hold bytes
_MOST = 65535  # classes: the last id of 16 bits is no label
_EXACT = 1 << 24  # cv2.calcHist counts in float32, which is exact up to here


def label_counts(
    labels: Tensor | np.ndarray, predictions: Tensor | np.ndarray, num_classes: int
) -> np.ndarray:
    """Count how often each label was taken for each class, in one pass where the tensors are.

    Labels are integers from 0 to 255, or to below ``num_classes`` if those are more, of any shape,
    and predictions of the same shape on the same device. Returns int64 pixels, (256 or num_classes,
    num_classes): ground truth down, prediction across. Labels that are no class have rows too, so
    that they can be told apart afterwards.
    """
    if num_classes > _MOST:
        raise ValueError(f'num_classes must be at most {_MOST}, got {num_classes}.')
    ids = max(_IDS, num_classes)
    counts, ranges = np.zeros((ids, num_classes), np.int64), (0, ids, 0, num_classes)
    if 0 in labels.shape:
        return counts
    labels = _narrow('label', labels, ids)
    predictions = _narrow('prediction', predictions, num_classes)
    if isinstance(labels, Tensor):
        pairs = torch.add(predictions.long(), labels, alpha=num_classes)
        return torch.bincount(pairs, minlength=counts.size).reshape(counts.shape).cpu().numpy()
    for start in range(0, len(labels), _EXACT):
        # twice as fast as bincount, which wants both as one array of int64
        pair = [part[start : start + _EXACT] for part in (labels, predictions)]
        counts += cv2.calcHist(pair, (0, 1), None, counts.shape, ranges).astype(np.int64)
    return counts


def _narrow(name: str, ids: Tensor | np.ndarray, limit: int) -> Tensor | np.ndarray:
    """Check that ids are from 0 to below a limit; flat, in bytes where that has room for them.

    A tensor if they are on a GPU, else an array, whose operations start sooner.
    """
    if isinstance(ids, Tensor) and not ids.is_cuda:
        ids = (ids.float() if ids.is_floating_point() else ids).numpy()  # there is no bfloat16
    ids = ids.reshape(-1)
    if isinstance(ids, Tensor):
        extremes = torch.stack(ids.aminmax()).tolist()
    elif ids.dtype == np.int64:  # the usual: read without sign, in one pass, negative is largest
        extremes = [ids.view(np.uint64).max().view(np.int64)]
    else:
        extremes = [ids.min(), ids.max()]
    for value in extremes:
        if not 0 <= value < limit:
            raise ValueError(f'{name} {value} is out of range, expected 0 to {limit - 1}.')
    if isinstance(ids, Tensor):
        return ids.to(torch.uint8 if limit <= _IDS else torch.int32)
    return ids.astype(np.uint8 if limit <= _IDS else np.uint16, copy=False)


def confusion_matrix(
    labels: Tensor | np.ndarray, predictions: Tensor | np.ndarray, num_classes: int
) -> np.ndarray:
    """The rows of :func:`label_counts` that are classes, (num_classes, num_classes)."""
    return label_counts(labels, predictions, num_classes)[:num_classes]


def class_areas(matrix: np.ndarray) -> np.ndarray:
    """Pixels of each class that are right, predicted and labelled, (3, num_classes)."""
    return np.array([matrix.diagonal(), matrix.sum(0), matrix.sum(1)])


def class_scores(areas: np.ndarray, beta: float = 1) -> dict[str, np.ndarray]:
    """Scores of each class from its areas, as mmseg's ``IoUMetric`` defines them.

    'Acc' and 'Recall' are right of those labelled, 'Precision' right of those predicted; in
    'Fscore' recall counts ``beta`` times as much as precision. Each is (num_classes,) between 0 and
    1; nan where there is nothing to divide by.
    """
    right, predicted, labelled = areas
    precision, recall = _divide(right, predicted), _divide(right, labelled)
    return dict(
        IoU=_divide(right, predicted + labelled - right),
        Acc=recall,
        Dice=_divide(2 * right, predicted + labelled),
        Fscore=_divide((1 + beta**2) * precision * recall, beta**2 * precision + recall),
        Precision=precision,
        Recall=recall,
    )


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of each class, (num_classes,) between 0 and 1; nan for a class that is nowhere."""
    return class_scores(class_areas(matrix))['IoU']


def class_table(classes: list, columns: dict[str, np.ndarray], title: str, mean: str) -> str:
    """A Markdown table, in percent, of the scores of each class and their mean.

    ``columns`` are (num_classes,) scores, nan for none, by their titles; ``title`` is that of the
    names, and ``mean`` names the last row, the mean over the classes that have a score.
    """
    table = PrettyTable([title, *columns])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align[title] = 'l'
    scores = np.array([*columns.values()])
    for name, values in zip([*classes, mean], [*scores.T, np.nanmean(scores, axis=1)]):
        table.add_row([name, *('-' if np.isnan(v) else f'{100 * v:.1f}' for v in values)])
    return table.get_string()
