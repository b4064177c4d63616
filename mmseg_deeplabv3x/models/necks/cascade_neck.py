"""The cascade: block5, block6, block7, ... after ResNet's block4."""

from collections.abc import Sequence

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.models.backbones.resnet import BasicBlock, ResNet
from mmseg.registry import MODELS
from torch import Tensor, nn

from ... import atrous
from ..layers.checkpointed_res_layer import CheckpointedResLayer
from ..layers.surgery import set_block_dilation

FIRST_BLOCK = 5


@MODELS.register_module()
class CascadeNeck(BaseModule):
    """Copies of block4 in cascade (paper, section 3.2 and Fig. 3).

    Each block has as many units as block4 and, in the strided network, halves the resolution in
    its first unit. (In the paper's TF-slim layout the stride stands in a block's last unit and
    the last block has none; the strides of the maps are the same.) Once ``output_stride`` is
    reached, strides become rates. The first unit of each block has a projection shortcut, as
    block4's has, so that the same weights serve every output_stride.

    Args:
        depth: Depth of the ResNet whose block4 is copied; gives kind and number of units.
        num_blocks: Blocks to add: 3 is up to block7. Default: 3.
        output_stride: Output stride of the whole network, 8 to 32 * 2**num_blocks (256 with
            three blocks). Default: 16, which the paper trains at.
        multi_grid: Unit rates: one tuple for every block, such as (1, 2, 1),
            or a tuple of such tuples, one for each block. Default: None, all ones.
        contract_dilation: As in :class:`AtrousResNet`. Default: True.
        base_channels: As in :class:`AtrousResNet`. Default: 64.
        out_blocks: Numbers of the blocks whose maps are returned, 4
            being the input. Default: None, the last block alone.
        copy_block4: Whether :class:`DeepLabV3` starts the blocks from block4's weights
            (after the backbone's own are loaded) wherever shapes agree: everything but the first
            unit's input convolution and shortcut. Other segmentors ignore it. Default: False; the
            paper does not say.
        conv_cfg: As in :class:`AtrousResNet`.
        norm_cfg: Normalisation. Default: BN.
        with_cp: As in :class:`AtrousResNet`. Default: False.
        init_cfg: Initialisation. Default: as ResNet's, He's normal distribution,
            each unit starting as its shortcut.

    Raises:
        ValueError: For an output_stride, a multi_grid, a number of blocks or a block number that
            does not fit; when weights are copied from a block4 of other units.
    """

    def __init__(
        self,
        depth: int,
        num_blocks: int = 3,
        output_stride: int = 16,
        multi_grid: Sequence | None = None,
        contract_dilation: bool = True,
        base_channels: int = 64,
        out_blocks: Sequence[int] | None = None,
        copy_block4: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        super().__init__(init_cfg)
        # with more, building would go on until the memory is full
        if not isinstance(num_blocks, int) or not 1 <= num_blocks <= 64:
            raise ValueError(f'num_blocks must be from 1 to 64, but got {num_blocks!r}.')
        for name, value in (('multi_grid', multi_grid), ('out_blocks', out_blocks)):
            if value is not None and not isinstance(value, Sequence):
                raise ValueError(f'{name} must be a list, but got {value!r}.')
        unit, units_of_blocks = ResNet.arch_settings[depth]
        planes = base_channels * 8
        last_norm = 'norm2' if unit is BasicBlock else 'norm3'
        self.last_block = FIRST_BLOCK + num_blocks - 1
        self.depth = depth
        self.num_units = units_of_blocks[-1]
        self.contract_dilation = contract_dilation
        self.copy_block4 = copy_block4
        if multi_grid is None or all(isinstance(rate, int) for rate in multi_grid):
            multi_grid = (multi_grid,) * num_blocks
        if len(multi_grid) != num_blocks:
            raise ValueError(
                f'multi_grid has unit rates for {len(multi_grid)} blocks, '
                f'but there are {num_blocks}: {tuple(multi_grid)}.'
            )
        self.multi_grids = dict(enumerate(multi_grid, start=FIRST_BLOCK))
        self.out_blocks = tuple(out_blocks or (self.last_block,))
        legal = range(FIRST_BLOCK - 1, self.last_block + 1)
        if not all(block in legal for block in self.out_blocks):
            raise ValueError(
                f'out_blocks must be from {FIRST_BLOCK - 1} (the input) to {self.last_block}, '
                f'but got {self.out_blocks}.'
            )
        for block in self.multi_grids:
            layer = CheckpointedResLayer(
                block=unit,
                inplanes=planes * unit.expansion,
                planes=planes,
                num_blocks=self.num_units,
                stride=2,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg or dict(type='BN'),
                with_cp=with_cp,
                init_cfg=dict(type='Constant', val=0, override=dict(name=last_norm)),
            )
            self.add_module(f'block{block}', layer)
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Change the output_stride of this live module; weights and BN statistics stay."""
        atrous.check_output_stride(output_stride, self.last_block)
        for block, multi_grid in self.multi_grids.items():
            plans = atrous.plan_block(
                block, output_stride, self.num_units, multi_grid, self.contract_dilation
            )
            set_block_dilation(getattr(self, f'block{block}'), plans)
        self.output_stride = output_stride

    def load_block4(self, block4: nn.Module) -> None:
        """Copy block4's weights into every block, wherever the shapes agree."""
        source = block4.state_dict()
        if source.keys() != getattr(self, f'block{FIRST_BLOCK}').state_dict().keys():
            raise ValueError(
                f'copy_block4 needs a block4 of the units of this cascade, {self.num_units} as in '
                f'ResNet-{self.depth}: set neck.depth to the depth of the backbone.'
            )
        for block in self.multi_grids:
            layer = getattr(self, f'block{block}')
            own = layer.state_dict()
            agreeing = {key: x for key, x in source.items() if own[key].shape == x.shape}
            layer.load_state_dict(agreeing, strict=False)
            count = f'{len(agreeing)} of {len(own)} tensors'
            print_log(f'block{block} starts from block4: {count}.', 'current')

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn block4's map, the last of ``inputs``, (N, C, H, W), into those of ``out_blocks``."""
        maps = {FIRST_BLOCK - 1: inputs[-1]}
        for block in self.multi_grids:
            maps[block] = getattr(self, f'block{block}')(maps[block - 1])
        return tuple(maps[block] for block in self.out_blocks)
