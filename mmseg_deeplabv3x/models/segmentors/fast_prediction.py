"""Prediction without BN, without needless copies, and without logits of the image's size."""

from __future__ import annotations

import time
from contextlib import nullcontext
from importlib.util import find_spec

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ...ops import upsampled_argmax
from ..channels_last_preprocessor import ChannelsLastPreProcessor
from ..layers.surgery import fuse_conv_bn, rebuild, speed_up_convs
from ..openvino_network import OpenVINONetwork

PRECISIONS = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)
FAST_RUNTIMES = ('openvino', 'torch')


def is_on_cpu(model: nn.Module) -> bool:
    """Whether all parameters of a model are on the CPU."""
    return all(parameter.device.type == 'cpu' for parameter in model.parameters())


def predicts_by_logits(head: BaseDecodeHead) -> bool:
    """Whether a head only upsamples what its ``forward`` gives: mmseg's ``DAHead`` gives three."""
    return all(
        getattr(type(head), name, None) is getattr(BaseDecodeHead, name)
        for name in ('predict', 'predict_by_feat')
    )


def speed_up(model: nn.Module, precision: str, runtime: str | None, **how) -> None:
    """Call a model's ``speed_up()``, and log what computes and how long the start took.

    ``runtime`` is what computes on a CPU, one of ``FAST_RUNTIMES``. None is OpenVINO where it is
    installed and can convert the network, since it was measured to be the fastest. Precision 'fp16'
    on a CPU, and OpenVINO where it is not installed or the model not on a CPU, are ValueErrors.
    """
    on_cpu, installed = is_on_cpu(model), find_spec('openvino') is not None
    if on_cpu and precision == 'fp16':
        raise ValueError("precision 'fp16' needs a GPU: use 'bf16' on a CPU.")
    if runtime == 'openvino' and not (on_cpu and installed):
        raise ValueError(
            "runtime 'openvino' computes on a CPU, where `pip install openvino` was run: leave it "
            'out, or hide the GPU by CUDA_VISIBLE_DEVICES=.'
        )
    computes = runtime or ('openvino' if on_cpu and installed else 'torch')
    start = time.perf_counter()
    try:
        model.speed_up(precision=precision, openvino=computes == 'openvino', **how)
    except Exception as error:  # whatever their converters raise
        if runtime or computes == 'torch':
            raise
        first = str(error).strip().partition('\n')[0]
        print_log(f'OpenVINO cannot convert this network: {first}', 'current')
        computes = 'torch'
    seconds = time.perf_counter() - start
    print_log(
        f'--fast: {computes} computes in {precision}, after a start of {seconds:.1f} s.', 'current'
    )


class FastPredictionMixin:
    """For a segmentor with ``pad``: a network that only predicts can be sped up.

    Nothing changes until :meth:`speed_up` is called, and predictions stay the same up to rounding.
    """

    _speed = _network = _dtype = None

    def speed_up(
        self, probabilities: bool = False, precision: str = 'fp32', openvino: bool = False
    ) -> FastPredictionMixin:
        """Prepare for prediction, once and for all.

        BN is folded into the convolutions before it and weights are stored in channels_last. On a
        CPU, oneDNN computes all convolutions and a :class:`ChannelsLastPreProcessor` normalises in
        place of ``SegDataPreProcessor``. Whole images at their own size get their classes straight
        from the network's logits, unless probabilities are asked for.

        Args:
            probabilities: Whether predictions keep ``seg_logits``. Default: False.
            precision: What the network computes in: 'fp32', 'bf16' or 'fp16' (GPU only). Default:
                'fp32'.
            openvino: Whether :class:`.OpenVINONetwork` takes the network's place, on a CPU. It is
                faster, after a start of some seconds (``docs/benchmarks.md``). Default: False.

        Returns:
            The segmentor, in evaluation mode.

        Raises:
            ValueError: For OpenVINO, if the head predicts otherwise than by its logits.
            Exception: As of :class:`.OpenVINONetwork`; then PyTorch goes on computing.
        """
        self.eval()
        if self._speed is None:
            fuse_conv_bn(self)
            self.to(memory_format=torch.channels_last)
            speed_up_convs(self)
            if type(self.data_preprocessor) is SegDataPreProcessor:
                self.data_preprocessor = rebuild(ChannelsLastPreProcessor, self.data_preprocessor)
        self._speed = 'probabilities' if probabilities else 'classes'
        self._dtype = PRECISIONS[precision]
        self._network = None  # what is exported
        if openvino and not predicts_by_logits(self.decode_head):
            raise ValueError(f'{type(self.decode_head).__name__} predicts not by its logits alone.')
        self._network = OpenVINONetwork(self, precision) if openvino else None
        return self

    def train(self, mode: bool = True):
        """Set training or evaluation mode; training after :meth:`speed_up` is a RuntimeError."""
        if mode and self._speed is not None:
            raise RuntimeError('After speed_up() there is no BN: train a model built anew.')
        return super().train(mode)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None):
        """Predict normalised images, (N, 3, H, W), as in ``EncoderDecoder``.

        A result has ``pred_sem_seg``, (1, H, W), and, unless only classes are wanted after
        :meth:`speed_up`, ``seg_logits``, (num_classes, H, W).
        """
        if self._speed is not None:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        autocast = torch.autocast(inputs.device.type, self._dtype) if self._dtype else nullcontext()
        with autocast:
            if self._speed == 'classes' and self._native(inputs, data_samples):
                return self._predict_classes(inputs, data_samples)
            return super().predict(inputs, data_samples)

    def _predict_classes(self, inputs, data_samples):
        padded = self.pad(inputs)
        sizes = padded.shape[2:], self.align_corners, inputs.shape[2:]
        classes = upsampled_argmax(self._forward(padded), *sizes)
        samples = data_samples or [SegDataSample() for _ in classes]
        for sample, found in zip(samples, classes):
            sample.pred_sem_seg = PixelData(data=found[None])
        return samples

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        """Logits at 1/output_stride."""
        return self._network(inputs) if self._network else super()._forward(inputs, data_samples)

    def _native(self, inputs, data_samples) -> bool:
        """Whether predictions are the largest logits, upsampled to the size of the inputs."""
        whole = self.test_cfg.mode == 'whole' and self.out_channels > 1
        return (
            whole
            and predicts_by_logits(self.decode_head)
            and all(
                tuple(sample.ori_shape) == inputs.shape[2:]
                and not sample.get('flip')
                and not any(sample.get('img_padding_size', sample.get('padding_size', ())))
                for sample in data_samples or ()
            )
        )
