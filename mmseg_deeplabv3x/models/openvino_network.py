"""Networks that OpenVINO runs on the CPU."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

_HINTS = {'fp32': 'f32', 'bf16': 'bf16'}
# Largest error of a map, by norms. Rounding alone stays far below; another network is near 1.
_MOST = {'fp32': 0.01, 'bf16': 0.3}


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let OpenVINO tell its maker nothing, as on a CI machine.

    Import and conversion send messages by forked processes. Without a network these may hang, and
    with them the end of a program that handles SIGTERM (seen with openvino_telemetry 2025.2).
    """
    before = os.environ.get('CI')
    os.environ['CI'] = 'true'
    try:
        yield
    finally:
        del os.environ['CI']
        if before is not None:
            os.environ['CI'] = before


@cache
def import_openvino() -> ModuleType:
    """OpenVINO, where it is installed; else it is a ModuleNotFoundError."""
    with _without_telemetry():
        import openvino
    return openvino


@cache
def openvino_core():
    """OpenVINO's ``Core``, one for the life of the process.

    Each that compiles gives its thread a stack for signal handlers. If two are deleted, the first
    one first, memory that is freed remains as that stack, and the next signal, a Ctrl-C or SIGTERM,
    is a segmentation fault (seen with 2026.4).
    """
    return import_openvino().Core()


def compile_by_openvino(
    network: object, precision: str = 'fp32'
) -> Callable[[np.ndarray], np.ndarray]:
    """What runs a network of OpenVINO, on as many cores as PyTorch takes.

    A request keeps the tensors of one call, so calls of several threads wait for each other. Each
    takes all those cores anyway.
    """
    settings = dict(
        INFERENCE_PRECISION_HINT=_HINTS[precision],  # else bfloat16 where the CPU has it
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
    )
    request = openvino_core().compile_model(network, 'CPU', settings).create_infer_request()
    lock = threading.Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with lock:
            return request.infer([images])[0]  # a copy

    return run


class OpenVINONetwork:
    """The logits of a segmentor, computed by OpenVINO from a copy of its weights.

    Images of any size and number are served, by one thread after the other.

    Args:
        model: In evaluation mode, on the CPU; ``model(images)`` are its logits.
        precision: 'fp32', or 'bf16' where the CPU computes in it.

    Raises:
        ModuleNotFoundError: If OpenVINO is not installed.
        RuntimeError: If it computes something else, tried at a size that is not the example's.
        Exception: Whatever PyTorch or OpenVINO raise for a network that they cannot convert.
    """

    def __init__(self, model: nn.Module, precision: str = 'fp32'):
        size = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            images = torch.zeros(2, 3, 129, 193)
            program = torch.export.export(model, (images,), dynamic_shapes=(size,))
            openvino = import_openvino()
            with _without_telemetry():
                network = openvino.convert_model(program)
            self._run = compile_by_openvino(network, precision)
            # it rounds a division of sizes below 0 otherwise, and does not say so
            images = torch.randn(1, 3, 109, 131, generator=torch.Generator().manual_seed(0))
            theirs, ours = model(images), self(images)
        alike = theirs.shape == ours.shape
        if not (alike and (theirs - ours).norm() <= _MOST[precision] * theirs.norm()):  # nor NaN
            raise RuntimeError('its logits are not those of PyTorch')

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits, (N, num_classes, h, w) in float32, of images, (N, 3, H, W)."""
        return torch.from_numpy(self._run(images.contiguous().numpy()))
