"""Activation checkpointing of residual units."""

import torch
from mmseg.models.utils import ResLayer
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class CheckpointedResLayer(ResLayer):
    """mmseg's ``ResLayer`` whose ``with_cp=True`` changes memory and time alone.

    Of each unit its input alone is kept, and the rest is computed again for the gradient. mmseg
    leaves the kind of checkpointing open, which torch announces to refuse
    (https://github.com/pytorch/pytorch/pull/100551), and its BN counts every batch twice
    (https://github.com/pytorch/pytorch/issues/96136); here as often as without checkpointing.
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
