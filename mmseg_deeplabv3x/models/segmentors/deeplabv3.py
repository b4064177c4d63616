"""The DeepLabv3 segmentor: one output_stride for the whole network."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor

from ... import atrous
from ...losses.upsampled_loss_mixin import check_softmax
from ..layers.surgery import BATCH_NORMS, speed_up_convs
from ..published_weights import PublishedWeightsMixin
from .fast_prediction import FastPredictionMixin


@MODELS.register_module()
class DeepLabV3(PublishedWeightsMixin, FastPredictionMixin, EncoderDecoder):
    """An ``EncoderDecoder`` whose output_stride is one number, in training and in evaluation.

    ``model.train()`` and ``model.eval()`` hand the number to backbone, neck and heads, so that a
    model trained at output_stride 16 is evaluated at 8 with doubled rates (paper, section 4.2).

    With ``align_corners=True`` heads an image is padded on its right and lower side with zeros
    (the mean colour) to ``output_stride * k + 1`` pixels before it is evaluated, and the logits
    are cut back: positions of logits and pixels then agree exactly. The released code does the
    same, to one fixed size; mmseg stretches the logits instead.

    Args:
        backbone: Config of :class:`AtrousResNet` or :class:`AtrousBackbone`.
        decode_head: Config of the head, :class:`ImagePoolASPPHead` or any other. Without
            ``in_channels``, here as in ``auxiliary_head``, a head takes what its maps have.
        neck: Config of :class:`CascadeNeck` or any other neck.
        output_stride: One for both, or ``dict(train=16, test=8)``, the paper's best. Default: 16.
        freeze_bn: Freeze statistics *and* affine parameters of every BN of the network for
            good, as in the paper's second training stage (section 4.1). mmseg's ``norm_eval``
            freezes only the backbone's statistics. Default: False.
        channels_last: Store weights and maps in channels_last, and let every convolution
            be a :class:`ValidTapConv2d`, which changes rounding only. Default: where there is no
            GPU, since on a CPU a training step is 1.1 to 1.4 times as fast (docs/benchmarks.md);
            the log says so. On a GPU it was not measured.
        compile_backbone: Compile the backbone in place, which keeps all keys of the
            state dict: True, or the options of ``torch.compile``. (The runner's own ``compile``
            compiles the whole training step anew in every iteration.) Default: False.
        new_classifier: What to do with a checkpoint of another number of classes: False refuses it,
            True takes all but the classifiers, to fine-tune on other classes. Default: False.
        test_cfg: How images are evaluated, as in ``EncoderDecoder``. Default:
            ``dict(mode='whole')``, the paper's; mmseg has none and fails at the first validation.
        **kwargs: As of mmseg's ``EncoderDecoder``.

    Raises:
        ValueError: For an illegal output_stride; if a part's config names another output_stride; if
            a head has other ``in_channels`` than its maps, another ``ignore_index`` than the other
            heads, or a softmax over one class; if the backbone has no ``set_output_stride``; when a
            checkpoint with another number of classes is loaded.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        output_stride: int | Mapping[str, int] = 16,
        freeze_bn: bool = False,
        channels_last: bool | None = None,
        compile_backbone: bool | Mapping = False,
        new_classifier: bool = False,
        test_cfg: dict | None = None,
        **kwargs,
    ):
        if not isinstance(output_stride, Mapping):
            output_stride = dict(train=output_stride, test=output_stride)
        if set(output_stride) != {'train', 'test'}:
            raise ValueError(
                'output_stride must be one number or dict(train=..., test=...), '
                f'but got {dict(output_stride)}.'
            )
        self.output_strides = {k: atrous.check_output_stride(n) for k, n in output_stride.items()}
        for name, part in dict(backbone=backbone, neck=neck, decode_head=decode_head).items():
            own = (part or {}).get('output_stride')
            if own is not None and own not in self.output_strides.values():
                raise ValueError(
                    f'{name}.output_stride is {own}, but the model is at {self.output_strides}: '
                    'set model.output_stride alone, every part follows it.'
                )
        super().__init__(
            backbone=backbone,
            decode_head=decode_head,
            neck=neck,
            test_cfg=test_cfg or ConfigDict(mode='whole'),
            **kwargs,
        )
        if not hasattr(self.backbone, 'set_output_stride'):
            raise ValueError(
                f'DeepLabV3 sets the output_stride of its backbone, and {backbone["type"]} has no '
                'set_output_stride: use AtrousResNet, or put it into an AtrousBackbone.'
            )
        self._check_heads()
        self.freeze_bn = freeze_bn
        self.new_classifier = new_classifier
        # evaluation first: an output_stride that does not fit is found now, not after training
        self.eval()
        self.train()
        if channels_last is None and get_device() == 'cpu':
            channels_last = True
            print_log('On a CPU: channels_last; model.channels_last=False turns it off.', 'current')
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self._layout)
        if channels_last:
            speed_up_convs(self)
        if compile_backbone is not False:
            self.backbone.compile(**({} if compile_backbone is True else compile_backbone))

    @property
    def output_stride(self) -> int:
        """The output_stride now in force."""
        return self.output_strides['train' if self.training else 'test']

    def train(self, mode: bool = True) -> 'DeepLabV3':
        """Set training or evaluation mode, and with it the output_stride; BN stays frozen."""
        super().train(mode)
        of_backbone = self.output_stride
        if self.with_neck and hasattr(self.neck, 'set_output_stride'):
            self.neck.set_output_stride(self.output_stride)
            of_backbone = atrous.block_output_stride(self.output_stride, 4)
        self.backbone.set_output_stride(of_backbone)
        for head in self._heads().values():
            if hasattr(head, 'set_output_stride'):
                head.set_output_stride(self.output_stride)
        if self.freeze_bn:
            for module in self.modules():
                if isinstance(module, BATCH_NORMS):
                    module.eval().requires_grad_(False)
        return self

    def _init_decode_head(self, decode_head):
        with torch.no_grad():
            first = next(p for p in self.backbone.parameters() if p.ndim == 4)
            self.backbone.eval()
            if self.with_neck:
                self.neck.eval()
            maps = self.extract_feat(first.new_zeros(1, first.shape[1], 65, 65))
        self._map_channels = [one.shape[1] for one in maps]
        super()._init_decode_head(self._with_in_channels(decode_head))

    def _init_auxiliary_head(self, auxiliary_head):
        if isinstance(auxiliary_head, list):
            auxiliary_head = [self._with_in_channels(head) for head in auxiliary_head]
        elif auxiliary_head is not None:
            auxiliary_head = self._with_in_channels(auxiliary_head)
        super()._init_auxiliary_head(auxiliary_head)

    def _with_in_channels(self, head):
        return {'in_channels': self._channels_at(head.get('in_index', -1)), **head}

    def _channels_at(self, index):
        maps = self._map_channels
        try:
            return [maps[i] for i in index] if isinstance(index, Sequence) else maps[index]
        except IndexError:
            raise ValueError(f'A head has in_index={index}, but gets {len(maps)} maps.') from None

    def _heads(self) -> dict[str, BaseDecodeHead]:
        return {k: part for k, part in self.named_modules() if isinstance(part, BaseDecodeHead)}

    def _check_heads(self) -> None:
        for name, head in self._heads().items():
            check_softmax(head)
            given = self._channels_at(head.in_index)
            total = sum(given) if head.input_transform == 'resize_concat' else given
            own = head.in_channels
            if (list(own) if isinstance(own, Sequence) else own) != total:
                raise ValueError(
                    f'{name}.in_channels makes {own}, but the maps that it gets have '
                    f'{given} channels: leave in_channels out, and the model finds it.'
                )
            if head.ignore_index != self.decode_head.ignore_index:
                raise ValueError(
                    f'{name}.ignore_index is {head.ignore_index}, but that of decode_head is '
                    f'{self.decode_head.ignore_index}: all heads get the same labels.'
                )

    def init_weights(self) -> None:
        """Initialise, then start the cascade from block4 where the neck asks for it."""
        # random numbers are drawn in the order of memory: a seed gives the same in both layouts
        self.to(memory_format=torch.contiguous_format)
        super().init_weights()
        self.to(memory_format=self._layout)
        if self.with_neck and getattr(self.neck, 'copy_block4', False):
            self.neck.load_block4(self.backbone.layer4)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits, (N, num_classes, H, W), of normalised images, (N, 3, H, W)."""
        height, width = inputs.shape[2:]
        inputs = self.pad(inputs)
        # the head upsamples to what the metas name as the size of the image
        batch_img_metas = [dict(meta, img_shape=inputs.shape[2:]) for meta in batch_img_metas]
        if self._network:
            logits = self.decode_head.predict_by_feat(self._network(inputs), batch_img_metas)
        else:
            logits = super().encode_decode(inputs, batch_img_metas)
        return logits[:, :, :height, :width]

    def pad(self, inputs: Tensor) -> Tensor:
        """Pad images, (N, 3, H, W), to where corners of logits and pixels coincide; see above."""
        if not self.align_corners:
            return inputs
        sides = inputs.shape[2:]
        down, right = (atrous.aligned_size(side, self.output_stride) - side for side in sides)
        return F.pad(inputs, (0, right, 0, down))
