"""Global average pooling with a small gradient."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GlobalMean2d(nn.Module):
    """Equal to ``nn.AdaptiveAvgPool2d(1)`` up to rounding.

    The gradient of PyTorch's is a whole map, in the layout of NCHW even where the input is in
    channels_last: slow to add to those of the other branches. Here, on a CPU and but for half
    precision, it is one value a channel, spread without a copy.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) to (N, C, 1, 1); half precision is summed in float32."""
        if x.device.type != 'cpu':
            return F.adaptive_avg_pool2d(x, 1)
        height, width = x.shape[2:]
        total = x.sum((2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        return (total / (height * width)).to(x.dtype)
