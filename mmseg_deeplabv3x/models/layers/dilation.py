"""Sets stride and rate of convolutions that are already built; their weights stay."""

from collections.abc import Iterable

from mmseg.models.backbones.resnet import BasicBlock
from torch import nn

from ...atrous import UnitPlan
from .atrous_window import AtrousWindow


def set_dilation(conv: nn.Conv2d, stride: int = 1, rate: int = 1) -> None:
    """Give a convolution a stride and a rate, padded so that stride 1 keeps the map's size."""
    conv.stride = (stride, stride)
    conv.dilation = (rate, rate)
    conv.padding = tuple(rate * (size // 2) for size in conv.kernel_size)


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
            first = unit.downsample[0]
            if isinstance(first, AtrousWindow):  # a mean
                first.set_rate(plan.shortcut_rate, plan.stride)
            else:
                set_dilation(first, plan.stride)
