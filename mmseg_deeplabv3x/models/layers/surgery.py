"""Changes the layers of a network that is already built; parameters, hooks and keys stay."""

from collections.abc import Iterable

import mmcv.ops
import torch
from mmseg.models.backbones.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair

from ...atrous import UnitPlan
from .atrous_window import AtrousWindow
from .valid_tap_conv import ValidTapConv2d

# mmcv's SyncBN is none of PyTorch's.
BATCH_NORMS = (_BatchNorm, mmcv.ops.SyncBatchNorm)
# Others, such as those that standardise their weights, are no linear functions of them.
_LINEAR = {nn.Conv2d.forward, ValidTapConv2d.forward, AtrousWindow.forward}


def rebuild(kind: type[nn.Module], module: nn.Module) -> nn.Module:
    """Build a module of a subclass, without attributes of its own, with all that another one has.

    Its parameters are the same objects, so that an optimizer keeps them; its buffers, hooks,
    settings and mode are the same too. The other one is to be thrown away.
    """
    new = kind.__new__(kind)
    vars(new).update(vars(module))
    return new


def set_dilation(
    layer: nn.Module, stride: int = 1, rate: int = 1, own: int | tuple[int, int] = 1
) -> None:
    """Give a convolution or an :class:`AtrousWindow` a stride and a rate, times the layer's own.

    A convolution is padded so that stride 1 keeps the map's size.
    """
    if isinstance(layer, AtrousWindow):
        layer.set_rate(rate, stride)  # its own stays in its dilation
        return
    layer.stride = (stride, stride)
    layer.dilation = tuple(rate * dilation for dilation in _pair(own))
    layer.padding = tuple(d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size))


def set_block_dilation(units: Iterable[nn.Module], plans: Iterable[UnitPlan]) -> None:
    """Apply the plan of one block to its residual units (mmseg's BasicBlock or Bottleneck).

    In a basic unit the second 3x3 convolution reads the map after the unit's stride, so it takes
    the full rate. mmseg's BasicBlock leaves it at 1, which is exact only where no stride was
    removed.
    """
    for unit, plan in zip(units, plans):
        if isinstance(unit, BasicBlock):
            set_dilation(unit.conv1, plan.stride, plan.entry_rate)
            set_dilation(unit.conv2, rate=plan.rate)
        else:
            set_dilation(unit.conv2, plan.stride, plan.entry_rate)
        unit.stride, unit.dilation = plan.stride, plan.entry_rate
        if unit.downsample is not None:
            pools = isinstance(unit.downsample[0], AtrousWindow)
            set_dilation(unit.downsample[0], plan.stride, plan.shortcut_rate if pools else 1)


def speed_up_convs(network: nn.Module) -> None:
    """Put a :class:`ValidTapConv2d` in the place of every ``Conv2d`` in a network."""
    ours = {}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if type(module) is nn.Conv2d:
            if module not in ours:
                ours[module] = rebuild(ValidTapConv2d, module)
            network.set_submodule(name, ours[module])


class _CallsChildren:
    """A BN whose activation is inside: timm's ``BatchNormAct2d``, converted to SyncBN."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        for child in self.children():  # dropout, activation
            x = child(x)
        return x


class SyncBatchNormAct(_CallsChildren, nn.SyncBatchNorm):
    """PyTorch's."""


class MMSyncBatchNormAct(_CallsChildren, mmcv.ops.SyncBatchNorm):
    """mmcv's."""


def call_activations_of_sync_bn(network: nn.Module) -> None:
    """Let every SyncBN that holds an activation call it.

    mmengine's and PyTorch's conversion of BN to SyncBN keep the activation inside timm's BN as a
    child that is never called: the network then computes something else, and nothing says so.
    """
    kinds = {nn.SyncBatchNorm: SyncBatchNormAct, mmcv.ops.SyncBatchNorm: MMSyncBatchNormAct}
    for name, layer in list(network.named_modules()):
        if type(layer) in kinds and any(True for _ in layer.children()):
            network.set_submodule(name, rebuild(kinds[type(layer)], layer))


@torch.no_grad()
def fuse_conv_bn(network: nn.Module) -> None:
    """Fold each BN, in evaluation mode, into the convolution that its parent names just before it.

    What a BN holds besides (timm's has its activation inside) stays in its place. mmcv's function
    of this name drops it, and folds a BN into any earlier convolution of the same parent.
    """
    for module in network.modules():
        conv = None
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and conv is not None:
                _fold(conv, child)
                setattr(module, name, nn.Sequential(*child.children()))
            linear = isinstance(child, nn.Conv2d) and type(child).forward in _LINEAR
            conv = child if linear else None


def _fold(conv: nn.Conv2d, bn: _BatchNorm) -> None:
    scale = (bn.running_var + bn.eps).rsqrt()
    scale = scale if bn.weight is None else scale * bn.weight
    bias = -bn.running_mean if conv.bias is None else conv.bias - bn.running_mean
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None])
    conv.bias = nn.Parameter(bias * scale + (0 if bn.bias is None else bn.bias))
