"""Proves that a network computes the same at every output_stride."""

import torch
from torch import Tensor, nn

from .strided_layers import FINEST, evaluate, last_map, network_tensors

# They take statistics over all positions of a map, and a denser map has others.
_GLOBAL = {'GroupNorm', 'InstanceNorm2d', 'GlobalResponseNorm', 'GRN'}
# Odd and even sides; some networks take even ones alone.
_SIZES = (97, 128), (96, 128)


class PlainMaps:
    """The maps of every layer of a plain network, to compare its atrous version with.

    They come from random weights, so that no layer is hidden by a weight of zero. In the
    comparison every layer starts from the plain map's values where there are any, and so do
    the statistics over a whole map, which :class:`AtrousBackbone` tells about.

    Args:
        network: The network.
        in_channels: Channels of its input.
    """

    def __init__(self, network: nn.Module, in_channels: int):
        generator = torch.Generator().manual_seed(0)
        self.state = _random_state(network, generator)
        for size in _SIZES:
            self.image = torch.randn(1, in_channels, *size, generator=generator)
            self.outputs: list = []
            try:
                evaluate(network, self.state, self.image, self._keep)
                break
            except Exception:
                if size == _SIZES[-1]:
                    raise

    def _keep(self, name, layer, args, output):
        if not isinstance(output, Tensor):
            self.outputs.append((output, 0, 1))
            return output
        # standardised: nothing overflows, and differences within a map never drown
        mean, std = output.mean(), output.std(correction=0).clamp(min=1e-9)
        output = (output - mean) / std
        self.outputs.append((output.clone(), mean, std))  # what comes next may work in place
        return output

    def compare(self, network: nn.Module, coarsest: int) -> None:
        """Compare with the network at output_stride 8.

        Args:
            network: The network.
            coarsest: The output_stride of the plain network.

        Raises:
            ValueError: Names the first layer that computes something else.
        """
        outputs = iter(self.outputs)
        sees_whole_map = {part for x in network.modules() if _is_global(x) for part in x.modules()}
        last = 'input'

        def compare(name, layer, args, output):
            nonlocal last
            expected, mean, std = next(outputs)
            if isinstance(expected, Tensor):
                if expected[0].numel() == max(expected.shape[1:]):
                    return expected  # a mean over the map, or what follows from it
                output = (output - mean) / std
            for found, plain in zip(_maps(output), _maps(expected)):
                found = _subsampled(found, plain)
                if found is None or not (layer in sees_whole_map or _close(found, plain)):
                    raise ValueError(
                        f'its {name or "output"} ({type(layer).__name__}) does not compute at '
                        f'output_stride {FINEST}, subsampled, what it computes at {coarsest}'
                    )
                found.copy_(plain)
            last = name
            return output

        try:
            fine = last_map(evaluate(network, self.state, self.image, compare))
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f'what follows its {last} fails at {FINEST}, {error}') from error
        coarse = last_map(self.outputs[-1][0])
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


def _close(found: Tensor, plain: Tensor) -> bool:
    return bool((found - plain).abs().max() <= 1e-4 * plain.abs().max())


def _subsampled(output: Tensor, plain: Tensor) -> Tensor | None:
    """A view of a map at the positions of a coarser one; None if there is no such step."""
    for step in (1, 2, 4, 8, 16):
        steps = (step if a != b else 1 for a, b in zip(output.shape, plain.shape))
        view = output[tuple(slice(None, None, step) for step in steps)]
        if view.shape == plain.shape:
            return view
    return None


def _random_state(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights, and statistics of BN, as different from each other as those of a trained network."""
    state = {}
    for name, value in network_tensors(network).items():
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
