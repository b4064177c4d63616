"""Folds BN into the convolution before it."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .atrous_window import AtrousWindow
from .valid_tap_conv import ValidTapConv2d

# Others, such as those that standardise their weights, are no linear functions of them.
_LINEAR = {nn.Conv2d.forward, ValidTapConv2d.forward, AtrousWindow.forward}


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
