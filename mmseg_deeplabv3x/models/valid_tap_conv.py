"""The convolution of ASPP's branches."""

from mmseg.registry import MODELS
from torch import Tensor, nn

from ..ops import is_recorded, pointwise_conv2d, valid_tap_conv2d
from .pointwise_conv import is_pointwise


@MODELS.register_module()
class ValidTapConv2d(nn.Conv2d):
    """A ``Conv2d`` that leaves out products with zero padding where that is faster.

    Equal up to rounding, with the same state-dict keys. It acts on 3x3 filters of stride 1 padded
    by their own rate, hands 1x1 filters to :func:`pointwise_conv2d`, and is a plain ``Conv2d`` for
    all others, and where the network is traced, compiled or exported.

    ``conv_cfg=dict(type='ValidTapConv2d')`` puts it into any head or backbone of mmseg.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x (Tensor): (N, C, H, W).

        Returns:
            Tensor: (N, O, H, W).
        """
        rate = self.dilation[0]
        atrous = (
            self.kernel_size == (3, 3)
            and self.stride == (1, 1)
            and self.padding == self.dilation == (rate, rate)
            and self.groups == 1
            and self.padding_mode == 'zeros'
        )
        if is_recorded():
            return super().forward(x)
        if atrous:
            return valid_tap_conv2d(x, self.weight, rate, self.bias)
        if is_pointwise(self):
            return pointwise_conv2d(x, self.weight, self.bias)
        return super().forward(x)
