"""Cross-entropy that takes a head's logits before they are upsampled."""

from collections.abc import Sequence
from functools import partial

from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor

from ..ops import upsampled_cross_entropy
from .late_label_check import LateLabelCheck


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
        use_sigmoid: False; here, as the next two, so that a config of ``CrossEntropyLoss`` fits.
        use_mask: False.
        reduction: 'mean'.
        class_weight: Weight of each class, or a file of them.
            Default: 1 each.
        loss_weight: Factor of the loss. Default: 1.
        loss_name: Its name in the log. Default: 'loss_ce'.
        avg_non_ignore: Whether the mean is over the labelled pixels or over all. Default:
            True, as in the paper's released code; mmseg's default is False.

    Raises:
        ValueError: For what only ``CrossEntropyLoss`` can do.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        use_mask: bool = False,
        reduction: str = 'mean',
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ce',
        avg_non_ignore: bool = True,
    ):
        if use_sigmoid or use_mask or reduction != 'mean':
            raise ValueError(
                'UpsampledCrossEntropyLoss is the mean of a softmax cross-entropy; for '
                f'use_sigmoid={use_sigmoid}, use_mask={use_mask}, reduction={reduction!r} take '
                "mmseg's CrossEntropyLoss."
            )
        super().__init__(
            class_weight=class_weight,
            loss_weight=loss_weight,
            loss_name=loss_name,
            avg_non_ignore=avg_non_ignore,
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
        """Loss and pixel accuracy of logits that are not upsampled.

        Args:
            logits: (N, C, h, w).
            labels: (N, H, W).
            align_corners: How the logits would be upsampled.
            ignore_index: Label of the pixels that do not count.
            head: Where the logits come from, for the message. Default: ''.

        Returns:
            The loss, and ``acc_seg`` in percent, (1,).

        Raises:
            ValueError: If a label is neither a class nor ``ignore_index``; see above.
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
