"""The 1x1 convolutions of a network in channels_last, on a CPU."""

from torch import Tensor, nn

from ..ops import is_recorded, pointwise_conv2d


class PointwiseConv2d(nn.Conv2d):
    """A ``Conv2d`` of 1x1 filters that oneDNN computes; see :func:`pointwise_conv2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, O, H, W)."""
        if is_recorded():
            return super().forward(x)
        return pointwise_conv2d(x, self.weight, self.bias)


def speed_up_pointwise(network: nn.Module) -> None:
    """Let oneDNN compute the 1x1 convolutions of a network, in place; its state dict stays."""
    for module in network.modules():
        if type(module) is nn.Conv2d and is_pointwise(module):
            module.__class__ = PointwiseConv2d


def is_pointwise(conv: nn.Conv2d) -> bool:
    """Whether a convolution only mixes the channels of each position."""
    return (
        conv.kernel_size == conv.stride == (1, 1)
        and conv.padding in ((0, 0), 'valid', 'same')
        and conv.groups == 1
    )
