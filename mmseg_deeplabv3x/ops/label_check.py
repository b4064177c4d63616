"""Labels that are no class: an error that names the value, without making the host wait."""

from __future__ import annotations

import torch
from torch import Tensor

_on_the_way = []


def check_labels(extremes: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raise if a label is neither a class nor ignored.

    Reading from a GPU would make the host wait for it in every iteration. There the copy is only
    started, and looked at in the next call, when it has long arrived.

    Args:
        extremes: The lowest and the highest label that is not ignored, (2,).
        num_classes: Number of classes.
        ignore_index: For the message.

    Raises:
        ValueError: At once, or on CUDA with the next call.
    """
    if not extremes.is_cuda:
        _check(extremes, num_classes, ignore_index)
        return
    while _on_the_way:
        arrived, *last_call = _on_the_way.pop()
        arrived.synchronize()
        _check(*last_call)
    copy = extremes.to('cpu', non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    _on_the_way.append((arrived, copy, num_classes, ignore_index))


def _check(extremes, num_classes, ignore_index):
    for label in extremes.tolist():
        if not 0 <= label < num_classes:
            raise ValueError(
                f'labels must be classes, 0 to {num_classes - 1}, or ignore_index={ignore_index}, '
                f'but got {label}.'
            )
