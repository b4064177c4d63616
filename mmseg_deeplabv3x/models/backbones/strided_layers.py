"""The convolutions and poolings of any network that a smaller output_stride changes."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from ..layers.atrous_window import AtrousAvgPool2d, AtrousConv2d, AtrousMaxPool2d
from ..layers.surgery import rebuild, set_dilation

# The smallest output_stride: what is computed up to this stride never changes.
FINEST = 8
# Their padding depends on the size of the map (timm's, mmcv's).
_SAME = ('Conv2dSame', 'MaxPool2dSame', 'AvgPool2dSame', 'Conv2dAdaptivePadding')


@dataclass(frozen=True)
class StridedLayer:
    """A convolution or pooling, by name, with the strides around it relative to the image."""

    name: str
    in_stride: int
    out_stride: int
    dilation: int | tuple[int, int]

    def set_output_stride(
        self, network: nn.Module, output_stride: int, contract_dilation: bool = True
    ) -> None:
        """Give the layer the stride and the rate that it has at an output_stride."""
        layer = network.get_submodule(self.name)
        keeps = contract_dilation or not isinstance(layer, nn.Conv2d)
        rate = max(1, (self.in_stride if keeps else self.out_stride) // output_stride)
        stride = min(output_stride, self.out_stride) // min(output_stride, self.in_stride)
        set_dilation(layer, stride, rate, self.dilation)


def has_same_padding(network: nn.Module) -> bool:
    """Whether a layer with a stride has the padding of TensorFlow, which depends on the size."""
    return any(type(layer).__name__ in _SAME for layer in network.modules())


def find_strides(network: nn.Module, in_channels: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Find the convolutions and poolings behind stride 8, by one forward pass on shapes alone.

    Returns the strides of input and output relative to the image, by name, and the stride of the
    network's last map. A layer that is used at two strides is a ValueError.
    """
    side = 1024  # large: a map without padding is smaller than its stride tells
    strides: dict[str, tuple[int, int]] = {}

    def note(name, layer, args, output):
        windowed = isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
        if not windowed or args[0].ndim != 4 or args[0].shape[-1] == 1:
            return
        found = _stride(side, args[0]), _stride(side, output)
        pointwise = set(_pair(layer.kernel_size) + _pair(layer.stride)) == {1}
        if found[1] > FINEST and not pointwise and strides.setdefault(name, found) != found:
            raise ValueError(f'its {name} is used at strides {strides[name]} and {found}')

    shapes = copy.deepcopy(network).to('meta')
    maps = run(shapes, torch.empty(1, in_channels, side, side, device='meta'), note)
    return strides, _stride(side, last_map(maps))


def replace_layers(network: nn.Module, strides: dict[str, tuple[int, int]]) -> list[StridedLayer]:
    """Put layers of ours in the place of poolings and of convolutions of any padding.

    Also where the stride stays, of padding that depends on the size: ours can be exported.
    """
    same = {name for name, layer in network.named_modules() if type(layer).__name__ in _SAME}
    layers = []
    for name in [*strides, *(same - strides.keys())]:
        old = network.get_submodule(name)
        new = _with_exact_padding(old)
        for module in network.modules():
            for child, value in module._modules.items():  # a layer may have several names
                if value is old:
                    setattr(module, child, new)
        if name in strides:
            layers.append(StridedLayer(name, *strides[name], new.dilation))
        else:
            new.set_rate(1, _pair(old.stride)[0])
    return layers


def _with_exact_padding(layer: nn.Module) -> nn.Module:
    same = type(layer).__name__ in _SAME or layer.padding == 'same'
    kinds = {nn.MaxPool2d: AtrousMaxPool2d, nn.AvgPool2d: AtrousAvgPool2d, nn.Conv2d: AtrousConv2d}
    new = rebuild(next(ours for kind, ours in kinds.items() if isinstance(layer, kind)), layer)
    if same:
        new.padding = 'same'
        new.count_include_pad = True  # of timm's mean
    elif isinstance(layer, nn.Conv2d):
        new.padding = (0, 0) if layer.padding == 'valid' else layer.padding
        geometry = zip(layer.kernel_size, new.padding, layer.dilation)
        if all(2 * pad == rate * (size - 1) for size, pad, rate in geometry):
            return layer  # its padding is in proportion to its rate
    return new


def set_multi_grid(
    network: nn.Module, strides: dict[str, tuple[int, int]], unit_rates: Sequence[int]
) -> None:
    """Multiply the rates of the last stage's convolutions by those of their units.

    If the last stride is not in the first of several units of one class, or the rates are no whole
    numbers, one for each unit, it is a ValueError.
    """
    coarsest = max((out_stride for _, out_stride in strides.values()), default=FINEST)
    last = next((name for name, (i, o) in strides.items() if i < o == coarsest), 'no layer')
    units = _units_of_stage(network, last)
    if len(unit_rates) != len(units) or not all(isinstance(r, int) and r > 0 for r in unit_rates):
        raise ValueError(
            f'multi_grid {tuple(unit_rates)} is not one whole number for each of the {len(units)} '
            f'units of its last stage, {", ".join(units) or f"which {last} does not begin"}'
        )
    for unit, rate in zip(units, unit_rates):
        for name in strides:
            layer = network.get_submodule(name)
            if name.startswith(unit + '.') and isinstance(layer, nn.Conv2d):
                layer.dilation = tuple(rate * dilation for dilation in layer.dilation)
                if not isinstance(layer.padding, str):
                    layer.padding = tuple(rate * padding for padding in layer.padding)


def _units_of_stage(network: nn.Module, strided: str) -> list[str]:
    path = strided.split('.')
    for depth in range(len(path)):
        children = dict(network.get_submodule('.'.join(path[:depth])).named_children())
        is_first = next(iter(children), None) == path[depth]
        if is_first and len(children) > 1 and len({type(unit) for unit in children.values()}) == 1:
            return ['.'.join([*path[:depth], child]) for child in children]
    return []


def _stride(side: int, x: Tensor) -> int:
    return 2 ** round(math.log2(side / x.shape[-1]))


def last_map(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """The last map that a backbone returns."""
    return maps if isinstance(maps, Tensor) else maps[-1]


def run(network: nn.Module, image: Tensor, hook: Callable) -> Tensor | Sequence[Tensor]:
    """Evaluate a network that is then thrown away; hooks are also told the module's name, first."""
    for name, module in network.named_modules():
        module.training = False
        module.register_forward_hook(partial(hook, name))
    with torch.no_grad():
        return network(image)
