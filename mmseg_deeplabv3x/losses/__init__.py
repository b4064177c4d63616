"""Losses, and how a decode head hands them its logits."""

from .upsampled_cross_entropy_loss import UpsampledCrossEntropyLoss
from .upsampled_loss_mixin import UpsampledLossMixin
