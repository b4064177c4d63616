"""Activation checkpointing of residual units."""

import torch
from mmseg.models.utils import ResLayer
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class CheckpointedResLayer(ResLayer):
    """mmseg's ``ResLayer`` whose ``with_cp=True`` changes memory and time alone.

    mmseg leaves the kind of checkpointing open, which torch warns of and announces to refuse
    (https://github.com/pytorch/pytorch/pull/100551), and its BN counts every batch twice, since a
    unit is run again for its gradient (https://github.com/pytorch/pytorch/issues/96136). Here BN's
    statistics are those of a training without checkpointing.

    Args:
        *args: As of ``ResLayer``.
        with_cp: Whether to keep of each unit its input alone, and compute the rest again for the
            gradient. Default: False.
        **kwargs: As of ``ResLayer``.
    """

    def __init__(self, *args, with_cp: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Run the units, (N, C, H, W) to (N, C', H', W')."""
        for unit in self:
            x = _checkpointed(unit, x) if self.with_cp else unit(x)
        return x


def _checkpointed(unit: nn.Module, x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # what is compiled changes its buffers once
        return checkpoint(unit, x, use_reentrant=False)
    again = False

    def run(x):
        nonlocal again
        if again:
            copies = {name: buffer.clone() for name, buffer in unit.named_buffers()}
            return functional_call(unit, copies, x)
        again = True
        return unit(x)

    return checkpoint(run, x, use_reentrant=False)
