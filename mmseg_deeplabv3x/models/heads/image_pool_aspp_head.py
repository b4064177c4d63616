"""ASPP with image-level pooling."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from ...atrous import aspp_rates, feature_size
from ...losses import UpsampledLossMixin
from ...ops import conv_of_concat, is_recorded
from ..layers.surgery import set_dilation


class GlobalMean2d(nn.Module):
    """Equal to ``nn.AdaptiveAvgPool2d(1)`` up to rounding.

    The gradient of PyTorch's is a whole map, in the layout of NCHW even where the input is in
    channels_last: slow to add to those of the other branches. Here, on a CPU and but for half
    precision, it is one value a channel, spread without a copy.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) to (N, C, 1, 1); half precision is summed in float32."""
        if x.device.type != 'cpu':
            return F.adaptive_avg_pool2d(x, 1)
        height, width = x.shape[2:]
        total = x.sum((2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        return (total / (height * width)).to(x.dtype)


@MODELS.register_module()
class ImagePoolASPPHead(UpsampledLossMixin, BaseDecodeHead):
    """Atrous spatial pyramid pooling with image-level features (paper, section 3.3).

    A 1x1 convolution, one 3x3 convolution for each rate and an image-level branch (global average
    pooling and 1x1), each with BN and ReLU; concatenated, projected, dropped out, classified.

    State-dict keys are those of mmseg's ``ASPPHead``. With its shape (``channels=512,
    projection_kernel=3, align_corners=False``) mmseg's published checkpoints load and give the
    same output.

    Departures from mmseg's ASPPHead: rates follow the output_stride; 256 channels and a 1x1
    projection (the paper's) in place of 512 and 3x3; ``align_corners=True``, dropout of single
    values (not of channels) and a loss averaged over the labelled pixels only, as in the paper's
    released code.

    Args:
        in_channels: Channels of the input map; 2048 after ResNet-50 and deeper.
        num_classes: Number of classes.
        rates: Rates of the 3x3 branches at output_stride 16, any number of them.
            Default: (6, 12, 18), the paper's.
        image_pool: Whether there is an image-level branch. Default: True.
        channels: Filters of each branch and of the projection. Default: 256.
        projection_kernel: Kernel size of the projection: 1 (the paper's) or mmseg's 3. Default: 1.
        post_conv: Whether a 3x3 convolution with BN and ReLU stands between projection and
            classifier, as in torchvision's DeepLabv3. Default: False, as in the paper.
        output_stride: The real output_stride of the input; scales the rates. ``DeepLabV3``
            sets it; under another segmentor give the backbone's. Default: 16.
        dropout_ratio: Share of values dropped before the classifier. Default: 0.1.
        norm_cfg: Normalisation. Default: BN.
        align_corners: How logits are upsampled. Default: True.
        loss_size: Where the loss is taken. 'labels': on logits upsampled to the size of the
            labels, as in the paper. 'logits': on labels down-sampled to the size of the logits
            (every ``output_stride``-th pixel), as in DeepLabv2; Table 8 compares the two, 77.21
            and 76.01. Default: 'labels'.
        fast: Whether to leave out, on a CPU, products with zero padding
            (:class:`ValidTapConv2d`), the copy that concatenates the branches, and the spreading of
            the pooled value and of its gradient (:class:`GlobalMean2d`). The same up to rounding.
            Measured on a CPU alone (``docs/benchmarks.md``), so that on any other device the same
            operations run as with False. Default: True; has no effect beside a ``conv_cfg``.
        **kwargs: As of mmseg's ``BaseDecodeHead``; ``loss_decode`` as of
            :class:`UpsampledLossMixin`.

    Raises:
        ValueError: For a rate below 2 (the 1x1 branch is always there), an output_stride at which
            a rate is no whole number, another ``loss_size``; in training, for a batch of one image
            (see :meth:`forward`) or a map that is not at ``output_stride``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        rates: Sequence[int] = (6, 12, 18),
        image_pool: bool = True,
        channels: int = 256,
        projection_kernel: int = 1,
        post_conv: bool = False,
        output_stride: int = 16,
        dropout_ratio: float = 0.1,
        norm_cfg: dict | None = None,
        align_corners: bool = True,
        loss_size: str = 'labels',
        fast: bool = True,
        **kwargs,
    ):
        if loss_size not in ('labels', 'logits'):
            raise ValueError(f"loss_size must be 'labels' or 'logits', but got {loss_size!r}.")
        if not isinstance(rates, Sequence) or any(
            not isinstance(rate, int) or rate < 2 for rate in rates
        ):
            raise ValueError(
                f'rates are those of the 3x3 branches at output_stride 16 and must be at least 2 '
                f'(the 1x1 branch is always there), but got {rates!r}.'
            )
        super().__init__(
            in_channels,
            channels,
            num_classes=num_classes,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg or dict(type='BN'),
            align_corners=align_corners,
            **kwargs,
        )
        self.rates = rates = tuple(rates)
        self.loss_size = loss_size
        conv_cfgs = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.fast = fast and self.conv_cfg is None
        self.image_pool = None
        if image_pool:
            self.image_pool = nn.Sequential(
                GlobalMean2d() if self.fast else nn.AdaptiveAvgPool2d(1),
                ConvModule(self.in_channels, channels, 1, **conv_cfgs),
            )
        branch_cfgs = dict(conv_cfgs)
        if self.fast:
            branch_cfgs['conv_cfg'] = dict(type='ValidTapConv2d')
        self.aspp_modules = ASPPModule((1, *rates), self.in_channels, channels, **branch_cfgs)
        self.bottleneck = ConvModule(
            (1 + len(rates) + bool(image_pool)) * channels,
            channels,
            projection_kernel,
            padding=projection_kernel // 2,
            **conv_cfgs,
        )
        self.post_conv = None
        if post_conv:
            self.post_conv = ConvModule(channels, channels, 3, padding=1, **conv_cfgs)
        if self.dropout is not None:
            self.dropout = nn.Dropout(dropout_ratio)
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Scale the rates, to whole numbers, to another output_stride; weights stay."""
        rates = aspp_rates(self.rates, output_stride)
        for branch, rate in zip(list(self.aspp_modules)[1:], rates):
            set_dilation(branch.conv, rate=rate)
        self.output_stride = output_stride

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Turn the map at ``in_index``, (N, C, H, W), into logits, (N, num_classes, H, W).

        Training with one image a batch is a ValueError, since BN after the image-level pooling then
        has a single value a channel and no variance.
        """
        x = self._transform_inputs(inputs)
        if self.fast and x.device.type == 'cpu':
            x = x.contiguous(memory_format=torch.channels_last)  # once, not in every branch
        branches = self.aspp_modules(x)
        if self.image_pool is not None:
            self._check_batch(x)
            branches.insert(0, self.image_pool(x))
        x = self._project(branches, x.shape[2:])
        return self.cls_seg(x if self.post_conv is None else self.post_conv(x))

    def _project(self, branches: list[Tensor], size: Sequence[int]) -> Tensor:
        if self.fast and branches[-1].device.type == 'cpu' and not is_recorded():
            conv = self.bottleneck.conv
            projected = self.bottleneck.norm(conv_of_concat(branches, conv.weight, conv.bias))
            if self.bottleneck.with_activation:
                projected = self.bottleneck.activate(projected)
            return projected
        # bilinear upsampling of a 1x1 map is a copy of its value
        branches = [branch.expand(-1, -1, *size) for branch in branches]
        return self.bottleneck(torch.cat(branches, dim=1))

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict:
        """Loss under its name, and ``acc_seg``, of a forward's logits, (N, num_classes, h, w)."""
        labels = tuple(batch_data_samples[0].gt_sem_seg.shape[-2:])
        expected = tuple(feature_size(size, self.output_stride) for size in labels)
        if seg_logits.shape[2:] != expected:
            raise ValueError(
                f'The head is at output_stride {self.output_stride} and expects a map of '
                f'{expected} for labels of {labels}, but the backbone gives '
                f"{tuple(seg_logits.shape[2:])}: set the head's output_stride to the backbone's."
            )
        return super().loss_by_feat(seg_logits, batch_data_samples)

    def _stack_batch_gt(self, batch_data_samples: Sequence) -> Tensor:
        labels = super()._stack_batch_gt(batch_data_samples)
        # on request, the pixels at which the network has its logits
        step = self.output_stride if self.loss_size == 'logits' else 1
        return labels[..., ::step, ::step]

    def _check_batch(self, x: Tensor) -> None:
        norm = self.image_pool[1].norm
        alone = isinstance(norm, _BatchNorm) and not isinstance(norm, SyncBatchNorm)
        if x.shape[0] == 1 and alone and norm.training:  # len() would fix the size in an export
            raise ValueError(
                'Training needs a batch of at least 2 images for each GPU, but got 1: BN after the '
                'image pooling has one value a channel. Raise train_dataloader.batch_size, or '
                'freeze BN with model.freeze_bn=True.'
            )
