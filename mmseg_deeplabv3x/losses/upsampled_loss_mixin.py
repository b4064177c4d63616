"""Gives a decode head the loss that needs no upsampled logits."""

from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from .upsampled_cross_entropy_loss import UpsampledCrossEntropyLoss


def check_softmax(head: nn.Module) -> None:
    """Refuse a decode head with a softmax over a single class: its loss is 0 whatever it does."""
    for loss in _losses(head):
        softmax = isinstance(loss, CrossEntropyLoss) and not (loss.use_sigmoid or loss.use_mask)
        if head.out_channels == 1 and softmax:
            raise ValueError(
                f'{type(head).__name__} has one output channel, over which the softmax of '
                f'{type(loss).__name__} is always 1 and its loss 0: set num_classes=2, background '
                'included, and to keep one channel out_channels=1 and CrossEntropyLoss with '
                'use_sigmoid=True.'
            )


def _losses(head: nn.Module) -> list[nn.Module]:
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


class UpsampledLossMixin:
    """Put it before a decode head: ``class UpsampledFCNHead(UpsampledLossMixin, FCNHead)``.

    mmseg's heads upsample their logits before any loss sees them. This one hands them as they are
    to an ``UpsampledCrossEntropyLoss``; with another loss, several losses or a pixel sampler it
    does what mmseg does.

    Args:
        loss_decode: Default: ``UpsampledCrossEntropyLoss``; with ``out_channels=1``, mmseg's
            sigmoid cross-entropy. Both are means over the pixels that are not ``ignore_index``.
        **kwargs: Of the decode head, as are positional arguments.

    Raises:
        ValueError: For a softmax over a single class.
    """

    def __init__(self, *args, loss_decode: dict | None = None, **kwargs):
        if loss_decode is None:
            loss_decode = dict(type='UpsampledCrossEntropyLoss')
            if kwargs.get('out_channels') == 1:
                loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)
        super().__init__(*args, loss_decode=loss_decode, **kwargs)
        check_softmax(self)

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict:
        """Loss under its name, and ``acc_seg``, of a forward's logits, (N, C, h, w)."""
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        if self.out_channels == 1 and (labels == self.ignore_index).all():
            return self._nothing_labelled(seg_logits)
        if self.sampler is not None or not isinstance(self.loss_decode, UpsampledCrossEntropyLoss):
            return super().loss_by_feat(seg_logits, batch_data_samples)
        head = f'{type(self).__name__}(in_index={self.in_index})'
        loss, accuracy = self.loss_decode.loss_and_accuracy(
            seg_logits, labels, self.align_corners, self.ignore_index, head
        )
        return {self.loss_decode.loss_name: loss, 'acc_seg': accuracy}

    def _nothing_labelled(self, seg_logits: Tensor) -> dict:
        """As of softmax losses; mmseg's binary cross-entropy fails."""
        zero = (0 * seg_logits).sum()  # with a gradient, for distributed runs
        losses = {loss.loss_name: zero for loss in _losses(self)}
        return dict(losses, acc_seg=zero.new_tensor([100.0]))
