"""Labels that are no class: an error that does not make the host wait for the GPU."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..ops import check_labels


def start_copy(extremes: Tensor) -> tuple[Tensor, Callable[[], None] | None]:
    """Start to copy a tensor to the host.

    Returns:
        The copy, and what waits until it has arrived; None if it is there.
    """
    if not extremes.is_cuda:
        return extremes, None
    copy = extremes.to('cpu', non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return copy, arrived.synchronize


class LateLabelCheck:
    """Looks at the labels of one batch when those of the next one come, or at :meth:`finish`.

    To read them from a GPU at once would make the host wait in every iteration; by the next one
    their copy has long arrived. What is on the host already is looked at at once.

    Args:
        start_copy: See :func:`start_copy`.
    """

    def __init__(self, start_copy: Callable = start_copy):
        self._start_copy = start_copy
        self._pending = None

    def __call__(self, name: str, extremes: Tensor, num_classes: int, ignore_index: int) -> None:
        """Look at the last batch, and take in the next one.

        Args:
            name: Of the loss, for the message.
            extremes: As the other arguments, of :func:`check_labels`.
            num_classes: See there.
            ignore_index: See there.

        Raises:
            ValueError: If a label is no class.
        """
        self.finish()
        copy, wait = self._start_copy(extremes)
        self._pending = wait, name, copy, num_classes, ignore_index
        if wait is None:
            self.finish()

    def finish(self) -> None:
        """Look at the last batch, if there is one that nobody has looked at.

        Raises:
            ValueError: If a label is no class.
        """
        if self._pending is None:
            return
        (wait, name, *labels), self._pending = self._pending, None
        if wait is not None:
            wait()
        try:
            check_labels(*labels)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from None

    def __getstate__(self) -> dict:
        """Copies start with nothing to look at."""
        self.finish()
        return vars(self)
