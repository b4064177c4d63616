"""What a network of any config looks like and costs, in lines."""

import weakref
from collections.abc import Mapping
from itertools import groupby

import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmseg_deeplabv3x.paper.network import build, describe_units, multiply_adds


def describe_network(
    model: ConfigDict, modes: Mapping[int | None, str], size: tuple[int, int]
) -> list[str]:
    """Stride and rate of every unit, cost and number of parameters, of any model's config: lines.

    Args:
        model: Of mmseg's ``MODELS``.
        modes: What each output_stride is used for; None stands for a model that has no such dial.
        size: Height and width of the image that the cost is of.
    """
    lines = []
    for output_stride, mode in modes.items():
        network = build(model, output_stride)
        units = model.backbone.type == 'AtrousResNet' and output_stride
        macs = multiply_adds(model, output_stride, size)
        lines += [
            *(['', f'output_stride {output_stride}, {mode}:'] if output_stride else ['', mode]),
            *(describe_units(network) if units else describe_layers(network)),
            f'  {macs / 1e9:.2f} G multiply-adds of convolutions at {size[0]}x{size[1]}',
        ]
    number = sum(parameter.numel() for parameter in network.parameters())
    return [*lines, '', f'{number / 1e6:.2f} M parameters']


def describe_layers(network: nn.Module) -> list[str]:
    """Stride and rate of every convolution that has one, by stage: lines."""
    rows = [
        ('.'.join(name.split('.')[:2]), *(max(v) for v in (c.kernel_size, c.stride, c.dilation)))
        for name, c in network.named_modules()
        if isinstance(c, nn.Conv2d) and max(*c.kernel_size, *c.stride) > 1
    ]
    counted = [(row, len(list(same))) for row, same in groupby(rows)]
    return [
        f'  {part}: {count} x {kernel}x{kernel}, stride {stride}, rate {rate}'
        for (part, kernel, stride, rate), count in counted
    ]


def training_memory(cfg: Config, batch: int, size: tuple[int, int]) -> int:
    """Bytes of all tensors at the fullest moment of a training step in float32.

    Weights, gradients, what the optimizer keeps and what the network keeps for its gradient; not
    the loss, not the working memory of libraries, not the process. Two steps are run on tensors
    that have sizes and no content.

    Args:
        cfg: Of a training; its model has any heads, the output_stride of the training.
        batch: Images a step.
        size: Height and width of each.
    """
    network = build(cfg.model, None).to('meta').train()
    optimizer = build_optim_wrapper(network, dict(optimizer=cfg.optim_wrapper.optimizer))
    heads = [network.decode_head, getattr(network, 'auxiliary_head', None)]
    heads = [
        part for head in heads for part in (head if isinstance(head, nn.ModuleList) else [head])
    ]
    with _TensorBytes() as tensors:
        tensors.count([*network.parameters(), *network.buffers()])
        for _ in range(2):  # the second has the optimizer's state
            features = network.extract_feat(torch.empty(batch, 3, *size, device='meta'))
            total = sum(head(features).sum() for head in heads if head is not None)
            del features
            optimizer.update_params(total)
    return tensors.peak


class _TensorBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that live, each storage once."""

    def __init__(self):
        super().__init__()
        self.alive = self.peak = 0
        self._known = weakref.WeakKeyDictionary()

    def count(self, values) -> None:
        """Count tensors among ``values``, until they are freed."""
        for tensor in tree_leaves(values):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage not in self._known:
                self._known[storage] = True
                self.alive += storage.nbytes()
                self.peak = max(self.peak, self.alive)
                weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self.alive -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count(result)
        return result
