"""Scores of predictions in a folder."""

from pathlib import Path

import numpy as np

from mmseg_deeplabv3x.datasets.reading import read_mask
from mmseg_deeplabv3x.evaluation.confusion import class_iou, confusion_matrix


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
