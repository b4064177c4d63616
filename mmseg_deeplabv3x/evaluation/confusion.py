"""IoU of predictions that were written as pictures (``tools/test.py --out``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts how often each class was taken for each class.

    Args:
        labels (np.ndarray): Ground truth, integers of any shape. Ids that are no class, such as
            the 255 of borders, do not count.
        predictions (np.ndarray): The same shape, ids below ``num_classes``.
        num_classes (int): Number of classes.

    Returns:
        np.ndarray: (num_classes, num_classes) pixels: ground truth down, prediction across.
    """
    counted = (labels >= 0) & (labels < num_classes)
    pairs = labels[counted].astype(np.int64) * num_classes + predictions[counted]
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of each class, (num_classes,) between 0 and 1; nan for a class that is nowhere."""
    intersection = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - intersection
    return np.divide(intersection, union, out=np.full(len(matrix), np.nan), where=union > 0)


def commonest_class_iou(matrix: np.ndarray) -> np.ndarray:
    """IoU of each class for who always answers with the commonest class: the level of chance."""
    labels = matrix.sum(1)
    answers = np.zeros_like(matrix)
    answers[:, labels.argmax()] = labels
    return class_iou(answers)


def folder_confusion(predictions: Path, labels: Path, num_classes: int) -> np.ndarray:
    """Confusion matrix over all PNG pictures of class ids in a folder.

    Args:
        predictions (Path): Folder of predictions.
        labels (Path): Folder that holds the ground truth under the same names, among others.
        num_classes (int): Number of classes.

    Returns:
        np.ndarray: (num_classes, num_classes), as of :func:`confusion_matrix`.

    Raises:
        FileNotFoundError: If there is no prediction, or one has no ground truth.
        ValueError: If a prediction has another size than its ground truth.
    """
    total = np.zeros((num_classes, num_classes), np.int64)
    files = sorted(Path(predictions).glob('*.png'))
    if not files:
        raise FileNotFoundError(
            f'{predictions} has no predictions (*.png); see tools/test.py --out.'
        )
    for file in files:
        truth = Path(labels) / file.name
        if not truth.exists():
            raise FileNotFoundError(f'{file} has no ground truth: there is no {truth}.')
        pair = [np.asarray(Image.open(path)) for path in (truth, file)]
        if pair[0].shape != pair[1].shape:
            raise ValueError(
                f'{file} has {pair[1].shape} pixels and its ground truth {truth} has '
                f'{pair[0].shape}; both must have the same size.'
            )
        total += confusion_matrix(*pair, num_classes)
    return total


def iou_table(classes: list, columns: dict[str, np.ndarray]) -> str:
    """Writes the IoU of each class and their mean, in percent, one column per evaluation.

    Args:
        classes (list): Names of the classes.
        columns (dict[str, np.ndarray]): (num_classes,) IoU of each evaluation, by its title.

    Returns:
        str: The table, without a line break at its end.
    """
    first = max(len(name) for name in [*classes, 'IoU in %'])
    widths = [max(len(title), 6) for title in columns]

    def row(name, cells):
        return '  '.join([name.ljust(first)] + [c.rjust(w) for c, w in zip(cells, widths)])

    def numbers(values):
        return ['-' if np.isnan(value) else f'{100 * value:.1f}' for value in values]

    rule = '-' * len(row('', [''] * len(columns)))
    lines = [row('IoU in %', columns), rule]
    lines += [row(name, numbers(values)) for name, *values in zip(classes, *columns.values())]
    lines += [rule, row('mIoU', numbers([np.nanmean(values) for values in columns.values()]))]
    return '\n'.join(lines)
