"""Proves that a network computes the same at every output_stride."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .strided_layers import FINEST, evaluate, last_map, map_stride, parameters_and_buffers

# They take statistics over all positions of a map, and a denser map has others.
_GLOBAL = {'GroupNorm', 'InstanceNorm2d', 'GlobalResponseNorm', 'GRN'}
# Odd and even sides; some networks take even ones alone.
_SIZES = (97, 128), (96, 128)


def check_exactness(
    network: nn.Module, in_channels: int, coarsest: int, set_output_stride: Callable
) -> None:
    """Prove that the maps at output_stride 8, subsampled, are those of the plain network.

    Every layer is compared on random weights, so that none is hidden by a weight of zero. Each
    starts from the plain network's values where there are any, and so do the statistics over a
    whole map, which :class:`AtrousBackbone` tells about.

    Args:
        network: The network.
        in_channels: Channels of its input.
        coarsest: Its plain output_stride.
        set_output_stride: Sets its output_stride.

    Raises:
        ValueError: Names the first layer that computes something else.
    """
    generator = torch.Generator().manual_seed(0)
    state = _random_state(network, generator)
    plain: list = []

    def keep(name, layer, args, output):
        if not isinstance(output, Tensor):
            plain.append((output, 0, 1))
            return output
        # standardised, so that what differs in a map never drowns and never overflows
        mean, std = output.mean(), output.std(correction=0).clamp(min=1e-9)
        output = (output - mean) / std
        plain.append((output.clone(), mean, std))  # what comes next may work in place
        return output

    def compare(name, layer, args, output):
        expected, mean, std = next(references)
        if isinstance(expected, Tensor):
            if expected[0].numel() == max(expected.shape[1:]):
                return expected  # a mean over the map, or what follows from it
            output = (output - mean) / std
        for found, reference in zip(_maps(output), _maps(expected)):
            found = _subsampled(found, reference)
            if found is None or not (_sees_whole_map(layer) or _close(found, reference)):
                raise ValueError(
                    f'its {name or "output"} ({type(layer).__name__}) does not compute at '
                    f'output_stride {FINEST}, subsampled, what it computes at {coarsest}'
                )
            found.copy_(reference)
        return output

    set_output_stride(coarsest)
    for size in _SIZES:
        image = torch.randn(1, in_channels, *size, generator=generator)
        plain.clear()
        try:
            evaluate(network, state, image, keep)
            break
        except Exception:
            if size == _SIZES[-1]:
                raise
    references = iter(plain)
    set_output_stride(FINEST)
    maps = evaluate(network, state, image, compare)
    if map_stride(image.shape[-1], last_map(maps)) != FINEST:
        raise ValueError(
            f'it stays at {coarsest}, its strides are not those of convolutions and poolings '
            '(a transformer has no rates)'
        )


def _maps(output) -> list[Tensor]:
    outputs = output if isinstance(output, (tuple, list)) else [output]
    return [x for x in outputs if isinstance(x, Tensor) and x.ndim == 4]


def _sees_whole_map(layer: nn.Module) -> bool:
    return not _GLOBAL.isdisjoint(base.__name__ for base in type(layer).__mro__)


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-4 * expected.abs().max())


def _subsampled(output: Tensor, expected: Tensor) -> Tensor | None:
    """A view of a map at the positions of a coarser one; None if there is no such step."""
    for step in (1, 2, 4, 8, 16):
        steps = (step if a != b else 1 for a, b in zip(output.shape, expected.shape))
        view = output[[slice(None, None, step) for step in steps]]
        if view.shape == expected.shape:
            return view
    return None


def _random_state(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights, and statistics of BN, as different from each other as those of a trained network."""
    state = {}
    for name, value in parameters_and_buffers(network):
        is_parameter, kind = isinstance(value, nn.Parameter), name.rpartition('.')[2]
        drawn = torch.empty(value.shape)
        if is_parameter and value.ndim > 1:
            drawn.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif kind in ('bias', 'running_mean'):
            drawn.uniform_(-0.5, 0.5, generator=generator)
        elif is_parameter or kind == 'running_var':
            drawn.uniform_(0.5, 1.5, generator=generator)
        else:
            drawn = value.cpu()
        state[name] = drawn
    return state
