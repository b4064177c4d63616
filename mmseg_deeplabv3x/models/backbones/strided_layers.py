"""The convolutions and poolings of any network that a smaller output_stride changes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.utils import _pair

from ..layers.atrous_window import AtrousAvgPool2d, AtrousConv2d, AtrousMaxPool2d, AtrousWindow
from ..layers.rebuild import rebuild

# The smallest output_stride: what is computed up to this stride never changes.
FINEST = 8
# Their padding depends on the size of the map (timm's, mmcv's).
_SAME = ('Conv2dSame', 'MaxPool2dSame', 'AvgPool2dSame', 'Conv2dAdaptivePadding')


@dataclass(frozen=True)
class StridedLayer:
    """A convolution or pooling and its plain geometry.

    Attributes:
        name: Its name in the network.
        in_stride: Stride of its input relative to the image.
        out_stride: Stride of its output.
        padding: Its plain padding.
        dilation: Its plain dilation.
    """

    name: str
    in_stride: int
    out_stride: int
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def set_output_stride(self, network: nn.Module, output_stride: int) -> None:
        """Give the layer the stride and the rate that it has at an output_stride."""
        layer = network.get_submodule(self.name)
        rate = max(1, self.in_stride // output_stride)
        stride = min(output_stride, self.out_stride) // min(output_stride, self.in_stride)
        if isinstance(layer, AtrousWindow):
            layer.set_rate(rate, stride)
        else:
            layer.stride = (stride, stride)
            layer.padding = tuple(rate * padding for padding in self.padding)
            layer.dilation = tuple(rate * dilation for dilation in self.dilation)


def find_strides(network: nn.Module, in_channels: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Find the layers behind stride 8, by one forward pass on shapes alone.

    Args:
        network: Any network.
        in_channels: Channels of its input.

    Returns:
        For each convolution and pooling behind stride 8 its name, and the strides of its input and
        output relative to the image; and the stride of the network's last map.

    Raises:
        ValueError: If a layer is used at two strides.
    """
    side = 1024  # large: a map without padding is smaller than its stride tells
    strides: dict[str, tuple[int, int]] = {}

    def note(name, layer, args, output):
        if not isinstance(output, Tensor) or args[0].ndim != 4 or args[0].shape[-1] == 1:
            return
        found = _stride(side, args[0]), _stride(side, output)
        pointwise = set(_pair(layer.kernel_size) + _pair(layer.stride)) == {1}
        if found[1] > FINEST and not pointwise and strides.setdefault(name, found) != found:
            raise ValueError(f'its {name} is used at strides {strides[name]} and {found}')

    state = {name: value.to('meta') for name, value in network_tensors(network).items()}
    image = torch.empty(1, in_channels, side, side, device='meta')
    maps = evaluate(network, state, image, note, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
    return strides, _stride(side, last_map(maps))


def replace_layers(network: nn.Module, strides: dict[str, tuple[int, int]]) -> list[StridedLayer]:
    """Put layers of ours in the place of poolings and of convolutions of any padding.

    Parameters and keys stay.
    """
    layers = []
    for name, (in_stride, out_stride) in strides.items():
        old = network.get_submodule(name)
        new = _with_exact_padding(old)
        for module in network.modules():
            for child, value in module._modules.items():  # a layer may have several names
                if value is old:
                    setattr(module, child, new)
        layers.append(StridedLayer(name, in_stride, out_stride, new.padding, new.dilation))
    return layers


def _with_exact_padding(layer: nn.Module) -> nn.Module:
    same = type(layer).__name__ in _SAME or layer.padding == 'same'
    if isinstance(layer, nn.MaxPool2d):
        new = rebuild(AtrousMaxPool2d, layer)
    elif isinstance(layer, nn.AvgPool2d):
        new = rebuild(AtrousAvgPool2d, layer)
        new.count_include_pad |= same  # timm's
    else:
        padding = (0, 0) if layer.padding == 'valid' else layer.padding
        geometry = zip(layer.kernel_size, padding, layer.dilation)
        if not same and all(2 * pad == rate * (size - 1) for size, pad, rate in geometry):
            return layer  # its padding is in proportion to its rate
        new = rebuild(AtrousConv2d, layer)
        new.padding = padding
    if same:
        new.padding = 'same'
    return new


def set_multi_grid(
    network: nn.Module, strides: dict[str, tuple[int, int]], unit_rates: Sequence[int]
) -> None:
    """Multiply the rates of the last stage's convolutions by those of their units.

    Raises:
        ValueError: If the last stride is not in the first of several units of one class, or the
            rates are no whole numbers, one for each unit.
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


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def evaluate(
    network: nn.Module,
    state: dict[str, Tensor],
    image: Tensor,
    hook: Callable,
    kinds: type | tuple = nn.Module,
) -> Tensor | Sequence[Tensor]:
    """Run a network with other weights, in evaluation mode; afterwards it is as it was.

    Args:
        network: The network.
        state: The weights and buffers.
        image: (N, C, H, W).
        hook: A forward hook that is also told, first, the module's name.
        kinds: Classes of the modules that get it. Default: all.

    Returns:
        What the network returns.
    """
    modes = [(module, module.training) for module in network.modules()]
    handles = [
        module.register_forward_hook(lambda *args, name=name: hook(name, *args))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        for module, _ in modes:
            module.training = False
        with torch.no_grad():
            # tie_weights would leave its tensors in a module that has two names
            return functional_call(network, state, (image,), tie_weights=False)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
