"""ResNet at any output_stride."""

from collections.abc import Sequence

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import nn

from ... import atrous
from ..layers.atrous_window import AtrousAvgPool2d
from ..layers.checkpointed_res_layer import CheckpointedResLayer
from ..layers.surgery import rebuild, set_block_dilation
from ..published_weights import PublishedWeightsMixin


@MODELS.register_module()
class AtrousResNet(PublishedWeightsMixin, ResNet):
    """ResNet whose last strides become atrous rates (paper, sections 3.1 and 3.2).

    It has the stock ``ResNet``'s state-dict keys (``ResNetV1c``'s with ``deep_stem``, those of
    ``ResNetV1d`` with ``avg_down`` too). Weights of torchvision, timm, TensorFlow and others load
    as they are: :class:`PublishedWeightsMixin`.

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
        contract_dilation: Whether the first unit of a block keeps the rate from before the block's
            own stride: exact for PyTorch's weights, see :func:`mmseg_deeplabv3x.atrous.plan_block`.
            False gives the rates as the paper writes them. Default: True.
        strides_last: Whether a block's last unit has the stride that leads to the next block, for
            weights of TensorFlow, in place of that one's first unit, as in PyTorch; the paper's
            rates are exact then, and ``contract_dilation`` has no effect. Default: False.
        in_channels: Channels of the input. Default: 3.
        base_channels: Channels of the stem and of block1's 3x3 convolutions. Default: 64.
        out_indices: Blocks to return, counted from 0. Default: all four.
        deep_stem: Three 3x3 convolutions in place of the 7x7 one, which the paper has. True: of
            (32, 32, 64) channels (ResNetV1c; timm's c and d); or their channels: (64, 64, 128) for
            timm's s and TensorFlow's beta, (24, 32, 64) for timm's t. Default: False.
        avg_down: Whether shortcuts with a stride take the mean of 2x2 positions before their
            convolution (ResNetV1d; timm's d and t). Default: False.
        frozen_stages: Stem (0) and blocks up to this one are not trained. Default: -1, none.
        conv_cfg: Kind of the convolutions. Default: ``Conv2d``.
        norm_cfg: Normalisation. Default: BN.
        norm_eval: Keep this backbone's BN statistics fixed. ``DeepLabV3(freeze_bn=True)``
            is the paper's freezing. Default: False.
        with_cp: Activation checkpointing: less memory, more time, the same numbers. Default: False.
        zero_init_residual: Without pretrained weights, start each unit as its shortcut.
            Default: True.
        pretrained: Pretrained weights, as stock configs name them; short for an
            init_cfg. mmseg's names ending in ``_v1c`` need ``deep_stem=True``. Default: None.
        init_cfg: Initialisation; ``dict(type='Pretrained', checkpoint=...)``.

    Raises:
        KeyError: For another depth.
        ValueError: For an output_stride that is no power of two from 8 to 32, a multi_grid
            that does not fit block4's units, a deep_stem of other than three widths, or
            ``avg_down`` with ``strides_last``; when weights are loaded that do not fit.
    """

    def __init__(
        self,
        depth: int,
        output_stride: int = 16,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = True,
        strides_last: bool = False,
        in_channels: int = 3,
        base_channels: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        deep_stem: bool | Sequence[int] = False,
        avg_down: bool = False,
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
        if avg_down and strides_last:
            raise ValueError('avg_down pools before a stride in the first unit: no strides_last.')
        usual = (base_channels // 2, base_channels // 2, base_channels)
        self.stem_widths = tuple(deep_stem) if isinstance(deep_stem, Sequence) else usual
        if len(self.stem_widths) != 3:
            raise ValueError(f'deep_stem must be True, False or three widths, but got {deep_stem}.')
        super().__init__(
            depth,
            in_channels=in_channels,
            stem_channels=self.stem_widths[-1],
            base_channels=base_channels,
            out_indices=out_indices,
            deep_stem=bool(deep_stem),
            avg_down=avg_down,
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
        self.strides_last = strides_last
        for name in self.res_layers:
            first, last = getattr(self, name)[0], getattr(self, name)[-1]
            if avg_down and first.downsample is not None:
                first.downsample[0] = rebuild(AtrousAvgPool2d, first.downsample[0])
            if strides_last and last.downsample is None:
                last.downsample = nn.Sequential(nn.MaxPool2d((1, 1)))
        self.set_output_stride(output_stride)

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        if not self.deep_stem:
            return
        layers = []  # mmseg's has one of base_channels alone
        for width, stride in zip(self.stem_widths, (2, 1, 1)):
            geometry = dict(stride=stride, padding=1, bias=False)
            conv = build_conv_layer(self.conv_cfg, in_channels, width, 3, **geometry)
            layers += [conv, build_norm_layer(self.norm_cfg, width)[1], nn.ReLU(inplace=True)]
            in_channels = width
        self.stem = nn.Sequential(*layers)

    def make_res_layer(self, **kwargs) -> CheckpointedResLayer:
        """Build one block; ``ResNet`` calls it."""
        return CheckpointedResLayer(**kwargs)

    def set_output_stride(self, output_stride: int) -> None:
        """Change the output_stride of this live model; weights and BN statistics stay."""
        units, multi_grid = self.stage_blocks, {len(self.stage_blocks): self.multi_grid}
        how = self.contract_dilation, self.strides_last
        plans = atrous.plan_network(output_stride, units, multi_grid, *how)
        for name, plan in zip(self.res_layers, plans):
            set_block_dilation(getattr(self, name), plan)
        self.output_stride = output_stride
