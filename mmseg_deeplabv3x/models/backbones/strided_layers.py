"""The convolutions and poolings of any network that a smaller output_stride changes."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.utils import _pair

from ..layers.atrous_window import AtrousAvgPool2d, AtrousConv2d, AtrousMaxPool2d, AtrousWindow

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
        dilation: Its plain dilation; None for a mean.
    """

    name: str
    in_stride: int
    out_stride: int
    padding: tuple[int, int]
    dilation: tuple[int, int] | None

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


def find_strided_layers(
    network: nn.Module, in_channels: int, multi_grid: Sequence[int] | None = None
) -> tuple[list[StridedLayer], int]:
    """Find the layers behind stride 8, by one forward pass on shapes alone.

    Poolings, and convolutions whose padding has to follow the size of the map, are replaced by
    ours; parameters and keys stay.

    Args:
        network: Any network.
        in_channels: Channels of its input.
        multi_grid: Unit rates of the last stage, which multiply its convolutions' rates.

    Returns:
        The layers in the order of computation, and the stride of the network's last map.

    Raises:
        ValueError: If a layer is used at two strides, or multi_grid does not fit.
    """
    side = 1024  # large: a map without padding is smaller than its stride tells
    strides: dict[str, tuple[int, int]] = {}

    def note(name, layer, args, output):
        if not isinstance(output, Tensor) or args[0].ndim != 4 or args[0].shape[-1] == 1:
            return
        found = map_stride(side, args[0]), map_stride(side, output)
        if strides.setdefault(name, found) != found:
            raise ValueError(f'its layer {name} is used at strides {strides[name]} and {found}')

    state = {name: value.to('meta') for name, value in parameters_and_buffers(network)}
    image = torch.empty(1, in_channels, side, side, device='meta')
    maps = evaluate(network, state, image, note, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
    strides = {
        name: found
        for name, found in strides.items()
        if found[1] > FINEST and not _is_pointwise(network.get_submodule(name))
    }
    if multi_grid is not None:
        _set_multi_grid(network, strides, multi_grid)
    layers = []
    for name, (in_stride, out_stride) in strides.items():
        old = network.get_submodule(name)
        new = _with_exact_padding(old)
        _replace(network, old, new)
        dilation = getattr(new, 'dilation', None)
        layers.append(StridedLayer(name, in_stride, out_stride, new.padding, dilation))
    return layers, map_stride(side, last_map(maps))


def _is_pointwise(layer: nn.Module) -> bool:
    return set(_pair(layer.kernel_size) + _pair(layer.stride)) == {1}


def _set_multi_grid(network: nn.Module, strides: dict, unit_rates: Sequence[int]) -> None:
    coarsest = max(out_stride for _, out_stride in strides.values())
    last = next(name for name, found in strides.items() if found[0] < found[1] == coarsest)
    units = _units_of_stage(network, last)
    if len(unit_rates) != len(units) or not all(isinstance(r, int) and r > 0 for r in unit_rates):
        raise ValueError(
            f'multi_grid {tuple(unit_rates)} needs one whole number for each of the '
            f'{len(units)} units of its last stage, {units[0]} to {units[-1]}'
        )
    for unit, rate in zip(units, unit_rates):
        for name in strides:
            layer = network.get_submodule(name)
            if name.startswith(unit + '.') and isinstance(layer, nn.Conv2d):
                layer.dilation = tuple(rate * dilation for dilation in layer.dilation)
                if not isinstance(layer.padding, str):
                    layer.padding = tuple(rate * padding for padding in layer.padding)


def _units_of_stage(network: nn.Module, strided: str) -> list[str]:
    """Names of the units of one class, the first of which holds a strided layer."""
    path = strided.split('.')
    for depth in range(len(path)):
        stage = network.get_submodule('.'.join(path[:depth]))
        children = dict(stage.named_children())
        is_first = next(iter(children)) == path[depth]
        if is_first and len(children) > 1 and len({type(unit) for unit in children.values()}) == 1:
            return ['.'.join([*path[:depth], child]) for child in children]
    raise ValueError(
        f'multi_grid needs a last stage of units of one kind, and its last stride is in {strided}, '
        'which does not begin one'
    )


def _with_exact_padding(layer: nn.Module) -> nn.Module:
    same = type(layer).__name__ in _SAME or layer.padding == 'same'
    if isinstance(layer, nn.MaxPool2d):
        return AtrousMaxPool2d.from_pool(layer, same)
    if isinstance(layer, nn.AvgPool2d):
        return AtrousAvgPool2d.from_pool(layer, same)
    if not same and layer.padding != 'valid':
        geometry = zip(layer.kernel_size, layer.padding, layer.dilation)
        if all(2 * padding == dilation * (size - 1) for size, padding, dilation in geometry):
            return layer  # its padding is in proportion to its rate
    return AtrousConv2d.from_conv(layer, same)


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for module in network.modules():
        for name, child in module._modules.items():  # one layer may have several names
            if child is old:
                setattr(module, name, new)


def map_stride(side: int, x: Tensor) -> int:
    """Stride of a map of an image of that side: the nearest power of two."""
    return 2 ** round(math.log2(side / x.shape[-1]))


def last_map(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """The last of a backbone's maps."""
    return maps[-1] if isinstance(maps, Sequence) else maps


def parameters_and_buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a network once, with its name."""
    yield from network.named_parameters()
    yield from network.named_buffers()


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
    with _evaluation_mode(network), torch.no_grad():
        handles = [
            module.register_forward_hook(lambda *args, name=name: hook(name, *args))
            for name, module in network.named_modules()
            if isinstance(module, kinds)
        ]
        try:
            # tie_weights would leave its tensors in a module that has two names
            return functional_call(network, state, (image,), tie_weights=False)
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
