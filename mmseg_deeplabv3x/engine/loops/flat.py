"""The state of a model as flat tensors on the CPU, as it travels."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class FlatState:
    """Weights, or their gradients, in one flat float32 tensor; buffers in one of float64.

    float64 holds every float32 and every count, so that nothing is rounded.

    Args:
        model: Its parameters and buffers are followed; they stay where they are.
    """

    def __init__(self, model: nn.Module):
        self._tensors = {torch.float32: [*model.parameters()], torch.float64: [*model.buffers()]}

    def empty(self) -> tuple[Tensor, Tensor]:
        """Flat tensors for weights and for buffers."""
        return tuple(  # gloo sends no empty ones
            torch.empty(max(1, sum(t.numel() for t in tensors)), dtype=dtype)
            for dtype, tensors in self._tensors.items()
        )

    @torch.no_grad()
    def pack(self, flat: Tensor) -> Tensor:
        """Fill a flat tensor, of weights or of buffers, with what the model has."""
        for part, tensor in self._parts(flat):
            part.copy_(tensor)
        return flat

    @torch.no_grad()
    def unpack(self, flat: Tensor) -> None:
        """Give the model what a flat tensor, of weights or of buffers, has."""
        for part, tensor in self._parts(flat):
            tensor.copy_(part)

    def pack_gradients(self, flat: Tensor) -> list[int]:
        """Take the gradients from the model into a flat tensor; gives the places without one."""
        missing = []
        for place, (part, parameter) in enumerate(self._parts(flat)):
            if parameter.grad is None:
                missing.append(place)
            else:
                part.copy_(parameter.grad)
                parameter.grad = None
        return missing

    def unpack_gradients(self, flat: Tensor, missing: Iterable[int]) -> None:
        """Give the parameters their gradients: on a CPU, parts of the flat tensor itself."""
        missing = set(missing)
        for place, (part, parameter) in enumerate(self._parts(flat)):
            parameter.grad = None if place in missing else part.to(parameter)

    def _parts(self, flat: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
        tensors = self._tensors[flat.dtype]
        sizes = [tensor.numel() for tensor in tensors]
        parts = flat[: sum(sizes)].split(sizes)
        return [(part.view(tensor.shape), tensor) for part, tensor in zip(parts, tensors)]


class RunningStatistics:
    """The model's buffers, BN's running statistics above all, out of those of the replicas.

    Args:
        how: 'shared': all replicas move the same ones, each by what its batch changed. 'mean':
            each replica has its own, and the model their mean. 'first': each has its own, and the
            model those of the replica that has been there the longest.
    """

    def __init__(self, how: str):
        self.how, self._own = how, {}

    def of(self, replica: int, model: Tensor) -> Tensor:
        """What a replica goes on with; ``model`` is the model's, flat."""
        return self._own.get(replica, model)

    def merge(self, replica: int, model: Tensor, pulled: Tensor, pushed: Tensor) -> Tensor:
        """The model's new buffers, now that a replica has made ``pushed`` out of ``pulled``."""
        if not torch.isfinite(pushed).all():  # its gradient will be refused as well
            return model
        if self.how == 'shared':  # where nobody else was faster, to the bit what the replica has
            return torch.where(model == pulled, pushed, model + (pushed - pulled))
        self._own[replica] = pushed.clone()
        if self.how == 'first':
            return self._own[min(self._own)]
        return torch.stack(list(self._own.values())).mean(dim=0)

    def forget(self, replica: int) -> None:
        """It is gone."""
        self._own.pop(replica, None)
