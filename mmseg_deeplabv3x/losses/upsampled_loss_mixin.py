"""Gives a decode head the loss that needs no upsampled logits."""

from torch import Tensor

from .upsampled_cross_entropy_loss import UpsampledCrossEntropyLoss


class UpsampledLossMixin:
    """Put it before a decode head: ``class UpsampledFCNHead(UpsampledLossMixin, FCNHead)``.

    mmseg's heads upsample their logits before any loss sees them. This one hands them as they are
    to an ``UpsampledCrossEntropyLoss``; with another loss, several losses or a pixel sampler it
    does what mmseg does.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict:
        """Compute the loss.

        Args:
            seg_logits: (N, C, h, w), of the head's forward.
            batch_data_samples: With ``gt_sem_seg``.

        Returns:
            The loss under its name, and ``acc_seg``, as mmseg's heads give.
        """
        if self.sampler is not None or not isinstance(self.loss_decode, UpsampledCrossEntropyLoss):
            return super().loss_by_feat(seg_logits, batch_data_samples)
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        head = f'{type(self).__name__}(in_index={self.in_index})'
        loss, accuracy = self.loss_decode.loss_and_accuracy(
            seg_logits, labels, self.align_corners, self.ignore_index, head
        )
        return {self.loss_decode.loss_name: loss, 'acc_seg': accuracy}
