"""Memory that a computation needs beside what is there already."""

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_extra_memory(function: Callable[[], object]) -> int:
    """Count the bytes of the tensors that are alive at the same time.

    Exact and the same on every machine, unlike the size of the process, in which freed memory
    stays. Scratch space inside one operation is not seen.

    Args:
        function: What to run. Tensors from before do not count, its result does.

    Returns:
        The most bytes of new tensors at any time.
    """
    with _LiveTensors() as live:
        function()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Follows every storage that an operation returns, in forward and backward, to its end."""

    def __init__(self):
        super().__init__()
        self.sizes = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # a view or an in-place result lives in an argument's memory
        given = {_address(tensor) for tensor in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            if _address(tensor) not in given | self.sizes.keys():
                self.sizes[_address(tensor)] = tensor.untyped_storage().nbytes()
                weakref.finalize(tensor.untyped_storage(), self.sizes.pop, _address(tensor))
                self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _address(tensor):
    return tensor.untyped_storage().data_ptr()
