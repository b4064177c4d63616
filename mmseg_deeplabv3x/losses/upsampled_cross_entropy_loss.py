"""Cross-entropy that takes a head's logits before they are upsampled."""

from functools import partial

import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor

from ..ops import check_labels, upsampled_cross_entropy


class LateLabelCheck:
    """Looks at the labels of one batch when those of the next one come, or at :meth:`finish`.

    To read them from a GPU at once would make the host wait in every iteration; by the next one
    their copy has long arrived. What is on the host already is looked at at once.
    """

    _pending = None

    def _start_copy(self, extremes: Tensor):
        """A copy on the host, and what waits until it has arrived; None if it is there."""
        if not extremes.is_cuda:
            return extremes, None
        copy = extremes.to('cpu', non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return copy, arrived.synchronize

    def __call__(self, name: str, extremes: Tensor, num_classes: int, ignore_index: int) -> None:
        """Look at the last batch, and take in the next one, of the loss of this name."""
        self.finish()
        copy, wait = self._start_copy(extremes)
        self._pending = wait, name, copy, num_classes, ignore_index
        if wait is None:
            self.finish()

    def finish(self) -> None:
        """Look at the last batch, if nobody has looked at it yet."""
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


@MODELS.register_module()
class UpsampledCrossEntropyLoss(CrossEntropyLoss):
    """mmseg's softmax cross-entropy, with a shorter way from a head's small logits.

    A head with :class:`UpsampledLossMixin` takes that way, which is several times faster and needs
    no memory for logits of the labels' size. Any other head upsamples first and gets mmseg's
    ``CrossEntropyLoss`` unchanged. Both give the same numbers up to rounding.

    A label that is no class is an error; on a GPU it comes with the next batch, lest the host wait
    for the labels, or when the model is put into evaluation mode or its state dict is asked for.
    So no validation and no checkpoint follows from a batch with such a label.

    Args:
        avg_non_ignore: Whether the mean is over the labelled pixels or over all. Default: True, as
            in the paper's released code; mmseg's default is False.
        **kwargs: As of ``CrossEntropyLoss``: ``class_weight``, of each class, or a file of them
            (default: 1 each), ``loss_weight``, factor of the loss (1), ``loss_name``, in the log
            ('loss_ce'). Of ``use_sigmoid``, ``use_mask`` and ``reduction`` the defaults alone.

    Raises:
        ValueError: For what only ``CrossEntropyLoss`` can do.
    """

    def __init__(self, avg_non_ignore: bool = True, **kwargs):
        super().__init__(avg_non_ignore=avg_non_ignore, **kwargs)
        if self.use_sigmoid or self.use_mask or self.reduction != 'mean':
            raise ValueError(
                'UpsampledCrossEntropyLoss is the mean of a softmax cross-entropy; for '
                f'use_sigmoid={self.use_sigmoid}, use_mask={self.use_mask}, '
                f"reduction={self.reduction!r} take mmseg's CrossEntropyLoss."
            )
        self.label_check = LateLabelCheck()

    def loss_and_accuracy(
        self,
        logits: Tensor,
        labels: Tensor,
        align_corners: bool,
        ignore_index: int,
        head: str = '',
    ) -> tuple[Tensor, Tensor]:
        """Loss, and ``acc_seg`` in percent, (1,), of logits (N, C, h, w) that are not upsampled.

        ``labels`` are (N, H, W); ``head`` says in messages where the logits come from. A label that
        is neither a class nor ``ignore_index`` is a ValueError; see above.
        """
        loss, accuracy = upsampled_cross_entropy(
            logits,
            labels,
            align_corners,
            ignore_index,
            self.class_weight,
            self.avg_non_ignore,
            return_accuracy=True,
            check=partial(self.label_check, f'{head} {self.loss_name}'.lstrip()),
        )
        return self.loss_weight * loss, accuracy

    def train(self, mode: bool = True) -> 'UpsampledCrossEntropyLoss':
        """Set training or evaluation mode; before an evaluation the last labels are looked at."""
        if not mode:
            self.label_check.finish()
        return super().train(mode)

    def _save_to_state_dict(self, *args):
        self.label_check.finish()
        super()._save_to_state_dict(*args)
