"""Convolutions and poolings at a rate, padded as their plain versions are on the coarser map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair


def window_padding(
    size: int,
    kernel: int,
    stride: int,
    padding: int | str,
    dilation: int = 1,
    ceil_mode: bool = False,
    rate: int = 1,
    new_stride: int | None = None,
) -> tuple[int, int]:
    """Padding of one side of a map at which a layer of a rate is exact, whatever the size.

    The plain layer reads the map's positions 0, rate, 2 * rate, ...; its window, spread by the
    rate, has to find zeros where the plain one does. What the layer adds between and behind the
    plain one's positions has the size that a layer of the same stride which keeps the size has, so
    that parallel branches still fit each other.

    Args:
        size: Side of the map.
        kernel: Side of the window.
        stride: Stride of the plain layer.
        padding: Padding of the plain layer, or ``'same'``, TensorFlow's, which depends on the size.
        dilation: Dilation of the plain layer.
        ceil_mode: As of PyTorch's poolings.
        rate: How many times denser the map is than the plain layer's.
        new_stride: Stride at this rate. Default: ``stride``.

    Returns:
        Padding before and behind; negative where the map is cut.
    """
    new_stride = new_stride or stride
    plain = -(-size // rate)
    reach = dilation * (kernel - 1)
    if padding == 'same':
        outputs = -(-plain // stride)
        before = max((outputs - 1) * stride + reach + 1 - plain, 0) // 2
    else:
        before = padding
        room = plain + 2 * padding - reach - 1
        outputs = (-(-room // stride) if ceil_mode else room // stride) + 1
        # as PyTorch: no window starts behind the map
        outputs -= ceil_mode and (outputs - 1) * stride >= plain + padding
    new_rate = rate * stride // new_stride
    outputs = min(max(-(-size // new_stride), (outputs - 1) * new_rate + 1), outputs * new_rate)
    behind = (outputs - 1) * new_stride + rate * (reach - before) + 1 - size
    return rate * before, behind


class AtrousWindow:
    """Mixin of a layer that keeps its plain geometry and computes it at a rate and a stride."""

    dilation = ceil_mode = None
    rate, new_stride = 1, None

    def set_rate(self, rate: int, stride: int) -> None:
        """Read a map that is ``rate`` times denser than the plain layer's, with this stride."""
        self.rate, self.new_stride = rate, stride

    @property
    def _is_plain(self) -> bool:
        return self.rate == 1 and self.new_stride in (None, _pair(self.stride)[0])

    def _padding(self, x: Tensor) -> list[int]:
        sides = zip(
            x.shape[2:],
            _pair(self.kernel_size),
            _pair(self.stride),
            (self.padding,) * 2 if self.padding == 'same' else _pair(self.padding),
            _pair(self.dilation or 1),
        )
        height, width = (
            window_padding(*side, bool(self.ceil_mode), self.rate, self.new_stride)
            for side in sides
        )
        return [*width, *height]


class AtrousConv2d(AtrousWindow, nn.Conv2d):
    """A convolution whose padding depends on the size of the map; ``'same'`` has any stride."""

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, same: bool) -> 'AtrousConv2d':
        """Take the place of a convolution, with its parameters."""
        new = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            device='meta',
        )
        new.weight, new.bias = conv.weight, conv.bias
        new.padding = 'same' if same else conv.padding
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, O, H', W')."""
        if self._is_plain and self.padding != 'same':
            return super().forward(x)
        dilation = [self.rate * d for d in self.dilation]
        stride = self.new_stride or self.stride
        x = F.pad(x, self._padding(x))
        return F.conv2d(x, self.weight, self.bias, stride, 0, dilation, self.groups)


class AtrousMaxPool2d(AtrousWindow, nn.MaxPool2d):
    """Maximum over a window at a rate; positions out of the map never win."""

    @classmethod
    def from_pool(cls, pool: nn.MaxPool2d, same: bool) -> 'AtrousMaxPool2d':
        """Take the place of a pooling."""
        padding = 'same' if same else pool.padding
        return cls(pool.kernel_size, pool.stride, padding, pool.dilation, False, pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, H', W')."""
        if self._is_plain and self.padding != 'same':
            return super().forward(x)
        dilation = [self.rate * d for d in _pair(self.dilation)]
        stride = self.new_stride or self.stride
        x = F.pad(x, self._padding(x), value=-torch.inf)
        return F.max_pool2d(x, self.kernel_size, stride, 0, dilation)


class AtrousAvgPool2d(AtrousWindow, nn.AvgPool2d):
    """Mean over a window at a rate; what the plain pooling does not count is not counted here."""

    @classmethod
    def from_pool(cls, pool: nn.AvgPool2d, same: bool) -> 'AtrousAvgPool2d':
        """Take the place of a pooling."""
        new = cls(pool.kernel_size, pool.stride, 0, pool.ceil_mode)
        new.padding = 'same' if same else pool.padding
        # timm's `same` pooling counts the zeros that it pads with
        new.count_include_pad = same or pool.count_include_pad
        new.divisor_override = pool.divisor_override
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, H', W')."""
        if self._is_plain and self.padding != 'same':
            return super().forward(x)
        padding = self._padding(x)
        total = self._sum(F.pad(x, padding))
        if self.divisor_override:
            return total / self.divisor_override
        counted = x.new_ones(1, 1, *x.shape[2:])
        if self.count_include_pad:
            width, height = padding[:2], padding[2:]
            if self.padding != 'same':  # of the padding behind, ceil_mode's is not counted
                width, height = [padding[0]] * 2, [padding[2]] * 2
            counted = F.pad(counted, [*width, *height], value=1)
            behind = padding[1] - width[1], padding[3] - height[1]
            counted = F.pad(counted, [0, behind[0], 0, behind[1]])
        else:
            counted = F.pad(counted, padding)
        return total / self._sum(counted).clamp(min=1)

    def _sum(self, x: Tensor) -> Tensor:
        stride = self.new_stride or self.stride
        for dim, kernel, step in zip((2, 3), _pair(self.kernel_size), _pair(stride)):
            last = x.shape[dim] - self.rate * (kernel - 1)
            taps = range(0, self.rate * kernel, self.rate)
            rows = (x.narrow(dim, tap, last) for tap in taps)
            x = sum(row[:, :, ::step] if dim == 2 else row[..., ::step] for row in rows)
        return x
