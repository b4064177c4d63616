"""Convolutions and poolings at a rate, padded as their plain versions are on the coarser map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sym_max, sym_min
from torch.nn.modules.utils import _pair


def window_padding(
    size: int,
    kernel: int,
    stride: int,
    padding: int | str,
    dilation: int,
    ceil_mode: bool,
    rate: int,
    new_stride: int,
) -> tuple[int, int]:
    """Padding before and behind a side of a map that makes a layer at a rate exact at every size.

    The plain layer, of this ``stride``, ``padding``, ``dilation`` and ``ceil_mode``, reads the
    positions 0, rate, 2 * rate, ... of the map, and its window, spread by the rate, must find
    padding where the plain one does. Between and behind the plain layer's outputs there are as many
    others as fit a layer that keeps the size, so that parallel branches still fit each other.
    Padding ``'same'`` is TensorFlow's, which at a stride depends on the size: of an even one, the
    plain window is half a position off. Where the stride is removed, the window is centred, as the
    plain one is on an odd side: else a map of 13 rows would be another than one of 12, by a whole
    position. A negative padding cuts the map.
    """
    plain = _ceil(size, rate)
    reach = dilation * (kernel - 1)
    outputs = _ceil(size, new_stride)
    if padding == 'same':
        kept = (plain - 1) // stride * stride + 1 if new_stride == stride else plain
        total = kept + reach - plain
        # OpenVINO converts no maximum of sizes; it changes nothing but for kernels below the stride
        padding = (total if reach >= stride - 1 else sym_max(total, 0)) // 2
    elif 2 * padding - reach != (1 - stride if ceil_mode else 0):  # it does not keep the size
        room = plain + 2 * padding - reach - 1
        kept = room // stride + 1
        if ceil_mode:  # as in PyTorch, no window starts behind the map
            kept = sym_min(_ceil(room, stride) + 1, _ceil(plain + padding, stride))
        new_rate = rate * stride // new_stride
        outputs = sym_min(sym_max(outputs, (kept - 1) * new_rate + 1), kept * new_rate)
    behind = (outputs - 1) * new_stride + rate * (reach - padding) + 1 - size
    return rate * padding, behind


def _ceil(size: int, step: int) -> int:
    return (size + step - 1) // step  # not -(-size // step): OpenVINO rounds that towards 0


class AtrousWindow:
    """Mixin of a layer that keeps its plain geometry and computes at a rate and another stride."""

    rate = new_stride = 1
    dilation = 1
    ceil_mode = False

    def set_rate(self, rate: int, stride: int) -> None:
        """Read a map that is ``rate`` times denser than the plain layer's, with this stride."""
        self.rate, self.new_stride = rate, stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve or pool (N, C, H, W) to (N, O, H', W')."""
        if self.rate == 1 and self.new_stride == _pair(self.stride)[0] and self.padding != 'same':
            return super().forward(x)
        height, width = (
            window_padding(*side, self.ceil_mode, self.rate, self.new_stride)
            for side in zip(
                x.shape[2:],
                _pair(self.kernel_size),
                _pair(self.stride),
                (self.padding,) * 2 if self.padding == 'same' else _pair(self.padding),
                _pair(self.dilation),
            )
        )
        return self._forward_padded(x, [*width, *height])

    @property
    def _new_dilation(self) -> list[int]:
        return [self.rate * dilation for dilation in _pair(self.dilation)]


class AtrousConv2d(AtrousWindow, nn.Conv2d):
    """A convolution whose padding depends on the size of the map."""

    def _forward_padded(self, x: Tensor, padding: list[int]) -> Tensor:
        x, stride = F.pad(x, padding), self.new_stride
        return F.conv2d(x, self.weight, self.bias, stride, 0, self._new_dilation, self.groups)


class AtrousMaxPool2d(AtrousWindow, nn.MaxPool2d):
    """Maximum over a window; positions out of the map never win."""

    def _forward_padded(self, x: Tensor, padding: list[int]) -> Tensor:
        x = F.pad(x, padding, value=-torch.inf)
        return F.max_pool2d(x, self.kernel_size, self.new_stride, 0, self._new_dilation)


class AtrousAvgPool2d(AtrousWindow, nn.AvgPool2d):
    """Mean over a window; what the plain pooling does not count is not counted here."""

    def _forward_padded(self, x: Tensor, padding: list[int]) -> Tensor:
        total = self._sum(F.pad(x, padding))
        if self.divisor_override:
            return total / self.divisor_override
        counted = [0] * 4
        if self.count_include_pad:  # but not what ceil_mode adds behind
            left, _, top, _ = padding
            counted = padding if self.padding == 'same' else [left, left, top, top]
        ones = F.pad(x.new_ones(1, 1, *x.shape[2:]), counted, value=1)
        ones = F.pad(ones, [whole - part for whole, part in zip(padding, counted)])
        return total / self._sum(ones).clamp(min=1)

    def _sum(self, x: Tensor) -> Tensor:
        for dim, kernel in zip((2, 3), _pair(self.kernel_size)):
            size = x.shape[dim] - self.rate * (kernel - 1)
            x = sum(x.narrow(dim, self.rate * tap, size) for tap in range(kernel))
        return x[:, :, :: self.new_stride, :: self.new_stride]
