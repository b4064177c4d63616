"""The paper's arithmetic: from an output_stride to strides, rates and sizes.

Plain integers, no torch; every other module asks here. Blocks are numbered as in the
paper: block1..block4 are ResNet's ``layer1``..``layer4``, block5 and up are the cascade.

Without atrous convolution the stem reaches stride 4, block1 keeps it, and each later
block doubles it: 4, 8, 16, 32 for block1..block4 and 64, 128, 256 for block5..block7.
(The paper counts the strides one block earlier, because TF-slim's ResNet has the stride in
the *last* unit of a block and PyTorch's in the *first*. The maps between blocks that carry
a rate, and the rates themselves, are the same.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The ASPP rates of a config are those at this output_stride (paper, section 3.3).
ASPP_REFERENCE_STRIDE = 16


@dataclass(frozen=True)
class UnitPlan:
    """Stride and rates of one residual unit."""

    stride: int  # 1 or 2
    entry_rate: int  # of the 3x3 convolution with the unit's stride, be it removed or not
    rate: int  # of every 3x3 convolution after that one; a bottleneck has none
    shortcut_rate: int = 1  # at which the shortcut reads the unit's input, if it pools


def full_stride(block: int) -> int:
    """Stride after ``block`` of the network without atrous convolution: 4, 8, 16, 32, 64, ..."""
    return 4 * 2 ** (block - 1)


def check_output_stride(output_stride: int, num_blocks: int | None = None) -> int:
    """Return ``output_stride`` if it is legal, and a network of ``num_blocks`` reaches it.

    Raises:
        ValueError: If it is no power of two, below 8, or more than ``num_blocks`` reach.
    """
    legal = isinstance(output_stride, int) and output_stride >= 8
    if not legal or output_stride & (output_stride - 1):
        raise ValueError(
            f'output_stride must be a power of two of at least 8, but got {output_stride!r}.'
        )
    if num_blocks is not None and output_stride > full_stride(num_blocks):
        raise ValueError(
            f'output_stride {output_stride} is out of reach: a network of {num_blocks} blocks '
            f'has an output_stride of {full_stride(num_blocks)} at the most.'
        )
    return output_stride


def block_output_stride(output_stride: int, block: int) -> int:
    """Stride after ``block`` in a network of the given output_stride."""
    return min(output_stride, full_stride(block))


def check_multi_grid(multi_grid: Sequence[int] | None, num_units: int, block: int) -> tuple:
    """Return one unit rate for each unit of a block; ``None`` stands for all ones.

    Raises:
        ValueError: If there are more or fewer unit rates than units, or one is below 1.
    """
    if multi_grid is None:
        return (1,) * num_units
    if not isinstance(multi_grid, Sequence):
        raise ValueError(f'multi_grid must be a list, such as (1, 2, 4), but got {multi_grid!r}.')
    rates = tuple(multi_grid)
    if len(rates) != num_units:
        raise ValueError(
            f'multi_grid {rates} has {len(rates)} unit rates, but block{block} has {num_units} '
            'units: give one rate for each unit.'
        )
    if not all(isinstance(rate, int) and rate >= 1 for rate in rates):
        raise ValueError(f'multi_grid must hold whole numbers of at least 1, but got {rates}.')
    return rates


def plan_block(
    block: int,
    output_stride: int,
    num_units: int,
    multi_grid: Sequence[int] | None = None,
    contract_dilation: bool = True,
    strides_last: bool = False,
) -> tuple[UnitPlan, ...]:
    """Stride and rates of every unit of one block.

    A unit's rate is its unit rate times the base rate of its block (paper, section 3.2.1), and
    the base rate doubles with each stride that was removed (section 3.1).

    The first unit is where PyTorch's ResNet has its stride. Its convolution still reads the
    map from *before* that stride, so with ``contract_dilation=True`` it keeps the rate in force
    there; only then does the network compute exactly what its strided version computes.
    ``False`` gives the rates as the paper writes them, (2, 4, 8) for Multi_Grid (1, 2, 4) at
    output_stride 16, which are exact for TF-slim's layout (stride in the last unit) alone.

    Args:
        block: The block's number, from 1.
        output_stride: Output stride of the whole network.
        num_units: Number of residual units in the block.
        multi_grid: Unit rates. Default: all 1.
        contract_dilation: See above; the name is mmseg's. Default: True.
        strides_last: Whether the stride that leads to the next block stands in this one's last
            unit, TF-slim's layout. Every unit then reads the map before it, at the block's base
            rate. Default: False, the stride from the block before stands in the first unit.

    Returns:
        One plan for each unit.

    Raises:
        ValueError: For an illegal output_stride or multi_grid.
    """
    check_output_stride(output_stride)
    unit_rates = check_multi_grid(multi_grid, num_units, block)
    stride_here = block_output_stride(output_stride, block)
    base_rate = full_stride(block) // stride_here
    rate_before = base_rate if strides_last else max(base_rate // 2, 1)
    strides = [1] * num_units
    rates = [unit_rate * base_rate for unit_rate in unit_rates]
    entry_rates = [*rates]
    if strides_last:
        strides[-1] = block_output_stride(output_stride, block + 1) // stride_here
    elif block > 1 and base_rate == 1:
        strides[0] = 2
    elif block > 1 and contract_dilation:
        entry_rates[0] = unit_rates[0] * rate_before
    shortcut_rates = [rate_before] + [base_rate] * (num_units - 1)
    return tuple(map(UnitPlan, strides, entry_rates, rates, shortcut_rates))


def plan_network(
    output_stride: int,
    num_units: Sequence[int],
    multi_grids: Mapping[int, Sequence[int]] | None = None,
    contract_dilation: bool = True,
    strides_last: bool = False,
) -> tuple[tuple[UnitPlan, ...], ...]:
    """Stride and rates of every unit of every block, from block1 on.

    ``num_units`` is (3, 4, 23, 3) for ResNet-101, ``multi_grids`` unit rates by the number of the
    block; the rest is :func:`plan_block`'s. With ``strides_last`` the last block has no stride.

    Raises:
        ValueError: For an output_stride out of the blocks' reach, or a bad multi_grid.
    """
    check_output_stride(output_stride, len(num_units))
    grids, layout = multi_grids or {}, (contract_dilation, strides_last)
    return tuple(
        plan_block(block, output_stride, units, grids.get(block), *layout)
        for block, units in enumerate(num_units, start=1)
    )


def aspp_rates(rates: Sequence[int], output_stride: int) -> tuple[int, ...]:
    """Scale ASPP rates given at output_stride 16 to another one: doubled at 8 (section 3.3).

    Raises:
        ValueError: If a rate would not stay a whole number of at least 1.
    """
    check_output_stride(output_stride)
    if not isinstance(rates, Sequence):
        raise ValueError(f'rates must be a list, such as (6, 12, 18), but got {rates!r}.')
    for rate in rates:
        if not isinstance(rate, int) or rate < 1 or rate * ASPP_REFERENCE_STRIDE % output_stride:
            raise ValueError(
                f'ASPP rate {rate!r} (at output_stride {ASPP_REFERENCE_STRIDE}) is no whole number '
                f'of at least 1 at output_stride {output_stride}; choose another of the two.'
            )
    return tuple(rate * ASPP_REFERENCE_STRIDE // output_stride for rate in rates)


def feature_size(size: int, output_stride: int) -> int:
    """Side of the feature map of an input of ``size`` pixels: 65 for 513 at output_stride 8."""
    return (size - 1) // output_stride + 1


def aligned_size(size: int, output_stride: int) -> int:
    """Smallest crop of at least ``size`` pixels that is ``output_stride * k + 1``.

    Only for such sizes do the corner pixels of the input and of the feature map coincide, which
    bilinear upsampling with ``align_corners=True`` takes for granted (the released code's rule).
    """
    # by positive numbers alone: exported, a division may round towards zero
    return (size + output_stride - 2) // output_stride * output_stride + 1


def valid_tap_share(height: int, width: int, rate: int) -> float:
    """Share of the products of a 3x3 filter at a rate that are not with the zero padding.

    A tap is valid if it falls on the map (height, width). As the rate grows to the size of the map
    all positions fall to one valid tap of nine, the centre (paper, Fig. 4).
    """
    rows, columns = (size + 2 * max(size - rate, 0) for size in (height, width))
    return rows * columns / (9 * height * width)
