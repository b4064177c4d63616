"""Proves that a network computes the same at every output_stride."""

import copy

import torch
from torch import Tensor, nn

from .strided_layers import FINEST, has_same_padding, last_map, run

# They take statistics over all positions of a map, and a denser map has others.
_GLOBAL = {'GroupNorm', 'InstanceNorm2d', 'GlobalResponseNorm', 'GRN'}


def check_exact(plain: nn.Module, network: nn.Module, in_channels: int, coarsest: int) -> None:
    """Compare the maps of every layer of a network at output_stride 8 with those of the plain one.

    They come from random weights, so that no layer is hidden by a weight of zero. In the
    comparison every layer starts from the plain map's values where there are any, and so do
    the statistics over a whole map, which :class:`AtrousBackbone` tells about. A ValueError names
    the first layer that computes something else.
    """
    outputs: list = []

    def keep(name, layer, args, output):
        if not isinstance(output, Tensor):
            outputs.append((output, 0, 1))
            return output
        # standardised: nothing overflows, and differences within a map never drown
        mean, std = output.mean(), output.std(correction=0).clamp(min=1e-9)
        output = (output - mean) / std
        outputs.append((output.clone(), mean, std))  # what comes next may work in place
        return output

    generator = torch.Generator().manual_seed(0)
    # padding 'same' is centred at every stride on the sides k * coarsest + 1 alone
    width = 129 if has_same_padding(plain) else 128
    image = torch.randn(1, in_channels, 97, width, generator=generator)
    try:
        run(_random_copy(plain), image, keep)
    except Exception:
        outputs.clear()
        image = image[:, :, 1:]  # some take even sides alone
        run(_random_copy(plain), image, keep)

    network = _random_copy(network)
    sees_whole_map = {part for x in network.modules() if _is_global(x) for part in x.modules()}
    plain_outputs = iter(outputs)
    last = 'input'

    def compare(name, layer, args, output):
        nonlocal last
        expected, mean, std = next(plain_outputs)
        if isinstance(expected, Tensor):
            if expected[0].numel() == max(expected.shape[1:]):
                return expected  # a mean over the map, or what follows from it
            output = (output - mean) / std
        for found, plain in zip(_maps(output), _maps(expected)):
            found = _subsampled(found, plain)
            bound = 1e-4 * plain.abs().max()
            if found is None or not (
                layer in sees_whole_map or (found - plain).abs().max() <= bound
            ):
                raise ValueError(
                    f'its {name or "output"} ({type(layer).__name__}) does not compute at '
                    f'output_stride {FINEST}, subsampled, what it computes at {coarsest}'
                )
            found.copy_(plain)
        last = name
        return output

    try:
        fine = last_map(run(network, image, compare))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'what follows its {last} fails at {FINEST}, {error}') from error
    coarse = last_map(outputs[-1][0])
    if -(-fine.shape[-1] * FINEST // coarsest) != coarse.shape[-1]:
        raise ValueError(
            f'it stays at {coarsest}, its strides are not those of convolutions and poolings '
            '(a transformer has no rates)'
        )


def _maps(output) -> list[Tensor]:
    outputs = output if isinstance(output, (tuple, list)) else [output]
    return [x for x in outputs if isinstance(x, Tensor) and x.ndim == 4]


def _is_global(layer: nn.Module) -> bool:
    return not _GLOBAL.isdisjoint(base.__name__ for base in type(layer).__mro__)


def _subsampled(output: Tensor, plain: Tensor) -> Tensor | None:
    """A view of a map at the positions of a coarser one; None if there is no such step."""
    for step in (1, 2, 4, 8, 16):
        steps = (step if a != b else 1 for a, b in zip(output.shape, plain.shape))
        view = output[tuple(slice(None, None, step) for step in steps)]
        if view.shape == plain.shape:
            return view
    return None


@torch.no_grad()
def _random_copy(network: nn.Module) -> nn.Module:
    """With weights, and statistics of BN, as different from each other as after a training."""
    network = copy.deepcopy(network).cpu()
    generator = torch.Generator().manual_seed(0)
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        is_parameter, kind = isinstance(value, nn.Parameter), name.rpartition('.')[2]
        if is_parameter and value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif kind in ('bias', 'running_mean'):
            value.uniform_(-0.5, 0.5, generator=generator)
        elif is_parameter or kind == 'running_var':
            value.uniform_(0.5, 1.5, generator=generator)
    return network
