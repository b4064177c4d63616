"""A trained segmentor as one network for other runtimes: padding, upsampling and cut inside."""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.openvino_network import import_openvino, openvino_core
from ..models.segmentors.fast_prediction import predicts_by_logits

OUTPUTS = ('logits', 'probabilities', 'classes')
FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'pt2': '.pt2'}


class ExportableSegmentor(nn.Module):
    """All that happens between a normalised image and what is asked for, in one module.

    With a ``DeepLabV3`` that includes the padding to ``output_stride * k + 1`` after normalisation,
    the upsampling with aligned corners, and the cut: the network alone gives other classes at a few
    percent of the pixels.

    Args:
        model: An ``EncoderDecoder`` in evaluation mode.
        output: 'logits', 'probabilities' or 'classes'.
        normalise_inside: Whether the input is uint8 RGB in place of normalised numbers.
        half: Whether the network computes in float16.

    Raises:
        ValueError: If the model is of another kind, its head predicts otherwise than by its logits,
            or ``output`` is none of the three.
    """

    def __init__(
        self,
        model: nn.Module,
        output: str = 'logits',
        normalise_inside: bool = False,
        half: bool = False,
    ):
        super().__init__()
        if not isinstance(model, EncoderDecoder) or isinstance(model, CascadeEncoderDecoder):
            raise ValueError(
                'An EncoderDecoder, such as DeepLabV3, can be exported, but the model is a '
                f'{type(model).__name__}.'
            )
        if not predicts_by_logits(model.decode_head):
            raise ValueError(
                f'{type(model.decode_head).__name__} predicts not by its logits alone: it cannot '
                'be exported.'
            )
        if output not in OUTPUTS:
            raise ValueError(f'output must be one of {", ".join(OUTPUTS)}, but got {output!r}.')
        preprocessor = model.data_preprocessor
        if normalise_inside and not getattr(preprocessor, '_enable_normalize', False):
            raise ValueError(
                'The data_preprocessor of the model has no mean and std to normalise with.'
            )
        self.model = model
        self.output = output
        self.normalise_inside = normalise_inside
        self.half_precision = half
        self.channel_order = 'rgb' if preprocessor.channel_conversion else 'bgr'
        if normalise_inside:
            self.register_buffer('mean', preprocessor.mean.clone())
            self.register_buffer('std', preprocessor.std.clone())
        if half:
            self.model.half()

    def forward(self, image: Tensor) -> Tensor:
        """From (N, 3, H, W) to (N, num_classes, H, W) float32, or the classes, (N, H, W) int64."""
        if self.normalise_inside:
            image = image if self.channel_order == 'rgb' else image.flip(1)
            image = (image.float() - self.mean) / self.std
        if self.half_precision:
            image = image.half()
        height, width = image.shape[2:]
        padded = self.model.pad(image) if hasattr(self.model, 'pad') else image
        # mode='tensor': the logits at 1/output_stride; mmseg's own resize would fix the sizes
        logits = F.interpolate(
            self.model(padded, mode='tensor').float(),
            size=padded.shape[2:],
            mode='bilinear',
            align_corners=self.model.align_corners,
        )[:, :, :height, :width]
        if self.output == 'logits':
            return logits
        if self.model.out_channels == 1:
            positive = logits.sigmoid()
            if self.output == 'classes':
                return (positive > self.model.decode_head.threshold).long().squeeze(1)
            return torch.cat([1 - positive, positive], 1)
        return logits.argmax(1) if self.output == 'classes' else logits.softmax(1)


def metadata_of(
    network: ExportableSegmentor, classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> dict[str, str]:
    """What a file says of itself, as text by name."""
    preprocessor, numbers = network.model.data_preprocessor, {}
    if getattr(preprocessor, '_enable_normalize', False):
        for name in ('mean', 'std'):
            numbers[name] = json.dumps(getattr(preprocessor, name).flatten().tolist())
    return dict(
        classes=json.dumps(list(classes)),
        palette=json.dumps([list(map(int, colour)) for colour in palette]),
        channel_order='rgb' if network.normalise_inside else network.channel_order,
        normalise_inside=json.dumps(network.normalise_inside),
        output=network.output,
        align_corners=json.dumps(network.model.align_corners),
        threshold=json.dumps(
            network.model.decode_head.threshold if network.model.out_channels == 1 else None
        ),
        **numbers,
    )


def export(
    network: ExportableSegmentor,
    path: str | os.PathLike,
    kind: str,
    image: Tensor,
    dynamic: bool,
    metadata: dict[str, str],
) -> None:
    """Write a network, in evaluation mode on the CPU, for another runtime.

    Args:
        network: What to write.
        path: The file, which should be aside: it is not whole until this is done. OpenVINO's
            weights go beside it, as ``.bin``.
        kind: One of ``FORMATS``; 'pt2' is ``torch.export``.
        image: An example, (N, 3, H, W).
        dynamic: Whether other batch sizes, heights and widths may follow, else only the example's.
        metadata: Text by name, as of :func:`metadata_of`.

    Raises:
        ValueError: If ``path`` has another suffix than ``kind``.
        ModuleNotFoundError: If the packages of the extra ``deploy`` are not installed.
    """
    path = Path(path)
    if path.suffix != FORMATS.get(kind):
        raise ValueError(f'A file for {kind} ends in {FORMATS[kind]}, but got {path.name}.')
    auto = torch.export.Dim.DYNAMIC
    if dynamic and len(image) == 1:  # a batch of one would be fixed
        image = torch.cat([image, image])
    shapes = ({0: auto, 2: auto, 3: auto},) if dynamic else None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.export.export(network.eval(), (image,), dynamic_shapes=shapes)
        if kind == 'pt2':
            torch.export.save(program, path, extra_files=metadata)
            return
        onnx = torch.onnx.export(
            program, (), input_names=['image'], output_names=[network.output], verbose=False
        )
    if kind == 'onnx':
        onnx.model.metadata_props.update(metadata)
        onnx.save(path, external_data=False)
        return
    model = openvino_core().read_model(onnx.model_proto.SerializeToString())
    for name, text in metadata.items():
        model.set_rt_info(text, ['deeplabv3x', name])
    import_openvino().save_model(model, path, compress_to_fp16=False)
