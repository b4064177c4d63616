"""ResNet at any output_stride."""

from collections.abc import Sequence

from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS

from ... import atrous
from ..layers.checkpointed_res_layer import CheckpointedResLayer
from ..layers.dilation import set_block_dilation


@MODELS.register_module()
class AtrousResNet(ResNet):
    """ResNet whose last strides become atrous rates (paper, sections 3.1 and 3.2).

    It has the stock ``ResNet``'s state-dict keys (``ResNetV1c``'s with ``deep_stem=True``), so
    weights of mmseg, mmpretrain and torchvision load unchanged.

    Departures from mmseg's ResNet: one ``output_stride`` stands for its ``strides`` and
    ``dilations``; a ``multi_grid`` unit rate is multiplied by the block's rate, as in the paper,
    where mmseg takes it as the rate itself; the second convolution of ResNet-18/34's units takes
    the rate too (mmseg's does not).

    Args:
        depth: 18, 34, 50, 101 or 152.
        output_stride: 8, 16 or 32: input resolution over that of the last map. Default: 16,
            which the paper trains at.
        multi_grid: Unit rates of block4, one for each of its units,
            such as (1, 2, 4). Default: None, all ones.
        contract_dilation: Whether the first unit of a block keeps the rate from before the
            block's own stride: exact for PyTorch's weights, see
            :func:`mmseg_deeplabv3x.atrous.plan_block`. False gives the rates as the paper writes
            them. Default: True.
        in_channels: Channels of the input. Default: 3.
        base_channels: Channels of the stem and of block1's 3x3 convolutions. Default: 64.
        out_indices: Blocks to return, counted from 0. Default: all four.
        deep_stem: Three 3x3 convolutions (ResNetV1c) in place of the 7x7 one, which the
            paper has. Default: False.
        frozen_stages: Stem (0) and blocks up to this one are not trained. Default: -1, none.
        conv_cfg: Kind of the convolutions. Default: ``Conv2d``.
        norm_cfg: Normalisation. Default: BN.
        norm_eval: Keep this backbone's BN statistics fixed. ``DeepLabV3(freeze_bn=True)``
            is the paper's freezing. Default: False.
        with_cp: Activation checkpointing: less memory, more time, the same numbers. Default:
            False.
        zero_init_residual: Without pretrained weights, start each unit as its shortcut.
            Default: True.
        pretrained: Pretrained weights, as stock configs name them; short for an
            init_cfg. mmseg's names ending in ``_v1c`` need ``deep_stem=True``. Default: None.
        init_cfg: Initialisation; ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        KeyError: For another depth.
        ValueError: For an output_stride that is no power of two from 8 to 32, or a multi_grid
            that does not fit block4's units.
    """

    def __init__(
        self,
        depth: int,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
        in_channels: int = 3,
        base_channels: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        deep_stem: bool = False,
        frozen_stages: int = -1,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ):
        if pretrained is not None:
            init_cfg = dict(type='Pretrained', checkpoint=pretrained)
        super().__init__(
            depth,
            in_channels=in_channels,
            stem_channels=base_channels,
            base_channels=base_channels,
            out_indices=out_indices,
            deep_stem=deep_stem,
            frozen_stages=frozen_stages,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or dict(type='BN'),
            norm_eval=norm_eval,
            with_cp=with_cp,
            zero_init_residual=zero_init_residual,
            init_cfg=init_cfg,
        )
        self.multi_grid = multi_grid
        self.contract_dilation = contract_dilation
        self.set_output_stride(output_stride)

    def make_res_layer(self, **kwargs) -> CheckpointedResLayer:
        """Build one block; ``ResNet`` calls it."""
        return CheckpointedResLayer(**kwargs)

    def set_output_stride(self, output_stride: int) -> None:
        """Change the output_stride of this live model; weights and BN statistics stay.

        Raises:
            ValueError: If it is no power of two from 8 to 32.
        """
        plans = atrous.plan_network(
            output_stride,
            self.stage_blocks,
            {len(self.stage_blocks): self.multi_grid},
            self.contract_dilation,
        )
        for name, plan in zip(self.res_layers, plans):
            set_block_dilation(getattr(self, name), plan)
        self.output_stride = output_stride
