"""Labels that are no class: an error that names the value."""

from torch import Tensor


def check_labels(extremes: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raise if a label is neither a class nor ignored. The host waits for a GPU to tell.

    Args:
        extremes: The lowest and the highest label that is not ignored, (2,).
        num_classes: Number of classes.
        ignore_index: For the message.

    Raises:
        ValueError: For a label below 0 or of ``num_classes`` or more.
    """
    for label in extremes.tolist():
        if not 0 <= label < num_classes:
            raise ValueError(
                f'labels must be classes, 0 to {num_classes - 1}, or ignore_index={ignore_index}, '
                f'but got {label}.'
            )
