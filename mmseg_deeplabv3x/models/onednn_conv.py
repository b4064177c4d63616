"""The convolutions of a network that only predicts, on a CPU."""

import torch
from torch import Tensor, nn

from ..ops import is_recorded, onednn_conv2d


class OneDNNConv2d(nn.Conv2d):
    """A ``Conv2d`` that oneDNN computes wherever it serves; see :func:`onednn_conv2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, O, H', W')."""
        if torch.is_grad_enabled() or is_recorded():
            return super().forward(x)
        shape = self.stride, self.padding, self.dilation, self.groups
        return onednn_conv2d(x, self.weight, self.bias, *shape)


def use_onednn(network: nn.Module) -> None:
    """Let oneDNN compute all plain convolutions of a network, in place."""
    for module in network.modules():
        plain = type(module) is nn.Conv2d and module.padding_mode == 'zeros'
        if plain and not isinstance(module.padding, str):
            module.__class__ = OneDNNConv2d
