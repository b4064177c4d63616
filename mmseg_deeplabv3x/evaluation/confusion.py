"""How often each class was taken for each class, and what follows from it: IoU, accuracy, Dice."""

from pathlib import Path

import cv2
import numpy as np
import torch
from prettytable import PrettyTable, TableStyle
from torch import Tensor

from ..datasets.reading import read_mask

_IDS = 256  # masks hold bytes
_EXACT = 1 << 24  # cv2.calcHist counts in float32, which is exact up to here


def label_counts(
    labels: Tensor | np.ndarray, predictions: Tensor | np.ndarray, num_classes: int
) -> np.ndarray:
    """Counts how often each label was taken for each class, in one pass where the tensors are.

    Labels that are no class have rows too, so that they can be told apart afterwards.

    Args:
        labels: Ground truth, integers from 0 to 255 of any shape.
        predictions: The same shape, ids below ``num_classes``, on the same device.
        num_classes: Number of classes, at most 256.

    Returns:
        Int64 (256, num_classes) pixels: ground truth down, prediction across.

    Raises:
        ValueError: If a label, a prediction or ``num_classes`` is out of its range.
    """
    if num_classes > _IDS:
        raise ValueError(
            f'num_classes must be at most {_IDS}, as labels are bytes, got {num_classes}.'
        )
    if 0 in labels.shape:
        return np.zeros((_IDS, num_classes), np.int64)
    labels = _bytes('label', labels, _IDS)
    predictions = _bytes('prediction', predictions, num_classes)
    if isinstance(labels, Tensor):
        pairs = torch.add(predictions.long(), labels, alpha=num_classes)
        counts = torch.bincount(pairs, minlength=_IDS * num_classes)
        return counts.reshape(_IDS, num_classes).cpu().numpy()
    counts, ranges = np.zeros((_IDS, num_classes), np.int64), (0, _IDS, 0, num_classes)
    for start in range(0, len(labels), _EXACT):
        # twice as fast as bincount, which wants both as one array of int64
        pair = [ids[start : start + _EXACT] for ids in (labels, predictions)]
        counts += cv2.calcHist(pair, (0, 1), None, counts.shape, ranges).astype(np.int64)
    return counts


def _bytes(name: str, ids: Tensor | np.ndarray, limit: int) -> Tensor | np.ndarray:
    """Checks that ids are from 0 to below a limit of at most 256; flat, in bytes.

    A tensor if they are on a GPU, else an array, whose operations start sooner.
    """
    if isinstance(ids, Tensor) and not ids.is_cuda:
        ids = (ids.float() if ids.is_floating_point() else ids).numpy()  # there is no bfloat16
    ids = ids.reshape(-1)
    for value in _extremes(ids):
        if not 0 <= value < limit:
            raise ValueError(f'{name} {value} is out of range, expected 0 to {limit - 1}.')
    return ids.to(torch.uint8) if isinstance(ids, Tensor) else ids.astype(np.uint8, copy=False)


def _extremes(ids: Tensor | np.ndarray) -> list:
    """Numbers that are in a range from 0 on if, and only if, all are."""
    if isinstance(ids, Tensor):
        return torch.stack(ids.aminmax()).tolist()
    if ids.dtype == np.int64:  # the usual: read without sign, in one pass, negative is largest
        return [ids.view(np.uint64).max().view(np.int64)]
    return [ids.min(), ids.max()]


def confusion_matrix(
    labels: Tensor | np.ndarray, predictions: Tensor | np.ndarray, num_classes: int
) -> np.ndarray:
    """The rows of :func:`label_counts` that are classes, (num_classes, num_classes).

    Labels that are no class, such as the 255 of borders, do not count.
    """
    return label_counts(labels, predictions, num_classes)[:num_classes]


def class_areas(matrix: np.ndarray) -> np.ndarray:
    """Pixels of each class that are right, predicted and labelled, (3, num_classes)."""
    return np.array([matrix.diagonal(), matrix.sum(0), matrix.sum(1)])


def class_scores(areas: np.ndarray, beta: float = 1) -> dict[str, np.ndarray]:
    """Scores of each class from its areas, as mmseg's ``IoUMetric`` defines them.

    Args:
        areas: As by :func:`class_areas`, or a sum of such.
        beta: How much more recall counts than precision in 'Fscore'. Default: 1.

    Returns:
        'IoU', 'Acc' and 'Recall' (right of those labelled), 'Precision' (right of those predicted),
        'Dice' and 'Fscore', each (num_classes,) between 0 and 1; nan where there is nothing to
        divide by.
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


def most_frequent_class_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of each class if every pixel were given the most frequent label: the level of chance."""
    labels = matrix.sum(1)
    constant = np.zeros_like(matrix)
    constant[:, labels.argmax()] = labels
    return class_iou(constant)


def folder_confusion(predictions: Path, labels: Path, num_classes: int) -> np.ndarray:
    """Confusion matrix over all PNG pictures of class ids in a folder.

    Args:
        predictions: Folder of predictions.
        labels: Folder that holds the ground truth under the same names, among others.
        num_classes: Number of classes.

    Returns:
        (num_classes, num_classes), as of :func:`confusion_matrix`.

    Raises:
        FileNotFoundError: If there is no prediction, or one has no ground truth.
        ValueError: If a prediction has another size than its ground truth.
    """
    total = np.zeros((num_classes, num_classes), np.int64)
    files = sorted(Path(predictions).rglob('*.png'))
    if not files:
        raise FileNotFoundError(
            f'{predictions} has no predictions (*.png); see tools/test.py --out.'
        )
    for file in files:
        truth = Path(labels) / file.relative_to(predictions)
        if not truth.exists():
            raise FileNotFoundError(f'{file} has no ground truth: there is no {truth}.')
        pair = [read_mask(str(path)) for path in (truth, file)]
        if pair[0].shape != pair[1].shape:
            raise ValueError(
                f'{file} has {pair[1].shape} pixels and its ground truth {truth} has '
                f'{pair[0].shape}; both must have the same size.'
            )
        total += confusion_matrix(*pair, num_classes)
    return total


def class_table(classes: list, columns: dict[str, np.ndarray], title: str, mean: str) -> str:
    """Writes scores of each class and their mean, in percent, as a Markdown table.

    Args:
        classes: Names of the classes.
        columns: (num_classes,) scores, by the title of their column.
        title: Of the column of names.
        mean: Name of the last row, the mean over the classes that have a score.

    Returns:
        The table, without a line break at its end.
    """
    table = PrettyTable([title, *columns])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align[title] = 'l'
    scores = np.array([*columns.values()])
    for name, values in zip([*classes, mean], [*scores.T, np.nanmean(scores, axis=1)]):
        table.add_row([name, *('-' if np.isnan(v) else f'{100 * v:.1f}' for v in values)])
    return table.get_string()
