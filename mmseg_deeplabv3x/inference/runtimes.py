"""Runs exported files: by PyTorch, ONNX Runtime or OpenVINO."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

# By suffix: which runtimes read such a file, the first by default.
READ_BY = {'.onnx': ('onnxruntime', 'openvino'), '.xml': ('openvino',), '.pt2': ('torch',)}
METADATA = [
    'classes',
    'palette',
    'channel_order',
    'normalise_inside',
    'output',
    'threshold',
    'mean',
    'std',
]
RUNTIMES = ('torch', 'onnxruntime', 'openvino')


class Runtime:
    """An exported network, ready to run.

    Args:
        path: A file that ``tools/export.py`` wrote.
        runtime: 'torch', 'onnxruntime' or 'openvino'. Default: the first one that reads such a
            file.
        threads: Of the CPU. Default: as many as PyTorch takes.

    Attributes:
        metadata: What the file says of itself, text by name.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If the runtime does not read such files.
        ModuleNotFoundError: If it is not installed.
    """

    def __init__(
        self, path: str | os.PathLike, runtime: str | None = None, threads: int | None = None
    ):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'There is no exported file {str(path)!r}.')
        known = READ_BY.get(path.suffix)
        if known is None or (runtime and runtime not in known):
            raise ValueError(
                f'{path.name} is not read by {runtime or "any runtime"}: ONNX Runtime reads .onnx, '
                'OpenVINO .xml and .onnx, PyTorch .pt2.'
            )
        self.name = runtime or known[0]
        threads = threads or torch.get_num_threads()
        self._run, self.metadata = _OPEN[self.name](path, threads)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            image: (N, 3, H, W), as the file wants it.

        Returns:
            Its output.
        """
        return self._run(image)


Opened = tuple[Callable[[np.ndarray], np.ndarray], dict[str, str]]


def _open_onnxruntime(path: Path, threads: int) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        path, options, providers=onnxruntime.get_available_providers()
    )
    return (
        lambda image: session.run(None, {'image': image})[0],
        session.get_modelmeta().custom_metadata_map,
    )


def _open_openvino(path: Path, threads: int) -> Opened:
    import openvino

    model = openvino.Core().read_model(path)
    # else it may compute in bfloat16 where the CPU has it
    settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': threads}
    compiled = openvino.compile_model(model, 'CPU', settings)
    place = ['deeplabv3x'] if path.suffix == '.xml' else ['framework']
    info = model.get_rt_info(place).astype(dict) if model.has_rt_info(place) else {}
    return (
        lambda image: compiled([image])[0],
        {name: value.astype(str) for name, value in info.items()},
    )


def _open_torch(path: Path, threads: int) -> Opened:
    texts = dict.fromkeys((*METADATA, 'mean', 'std'), '')
    program = torch.export.load(path, extra_files=texts)
    # A guard compares strides of the example, padded on both sides, with those of other sizes; the
    # graph is right for them all the same, which `tools/export.py` tries.
    try:
        module = program.module(check_guards=False)
    except TypeError:  # PyTorch without guards
        module = program.module()

    def run(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(image)).numpy()

    return run, {name: text for name, text in texts.items() if text}


_OPEN = {'torch': _open_torch, 'onnxruntime': _open_onnxruntime, 'openvino': _open_openvino}
