"""Mixed precision that needs no GPU."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Training in bfloat16 by ``torch.autocast``, on a CPU as well as on a GPU.

    mmengine's ``AmpOptimWrapper`` refuses to run without a GPU
    (https://github.com/open-mmlab/mmpretrain/issues/1556). bfloat16 has float32's range, so there
    is no loss scale.

    Args:
        **kwargs: As of mmengine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Run the forward pass in bfloat16, on whichever device the model is."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
