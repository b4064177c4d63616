"""Convolutions that do less, or do it faster, than PyTorch's choice."""

from mmseg.registry import MODELS
from torch import Tensor, nn

from ...ops import is_recorded, pointwise_conv2d, valid_tap_conv2d


@MODELS.register_module()
class ValidTapConv2d(nn.Conv2d):
    """A ``Conv2d`` that leaves out products with zero padding where that is faster.

    Equal up to rounding, with the same state-dict keys. It hands 3x3 filters of stride 1 padded by
    their own rate to :func:`valid_tap_conv2d` and 1x1 filters to :func:`pointwise_conv2d`, and is a
    plain ``Conv2d`` for all others, and where the network is traced, compiled or exported.

    ``conv_cfg=dict(type='ValidTapConv2d')`` puts it into any head or backbone of mmseg.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, O, H', W')."""
        if self.groups == 1 and self.stride == (1, 1) and not is_recorded():
            rate = self.dilation[0]
            padded_by_rate = self.padding == self.dilation == (rate, rate)
            if self.kernel_size == (3, 3) and padded_by_rate and self.padding_mode == 'zeros':
                return valid_tap_conv2d(x, self.weight, rate, self.bias)
            if self.kernel_size == (1, 1) and self.padding in ((0, 0), 'valid', 'same'):
                return pointwise_conv2d(x, self.weight, self.bias)
        return super().forward(x)
