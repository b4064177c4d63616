"""Exported files: run by PyTorch, ONNX Runtime or OpenVINO, and in the place of a model."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.model import BaseModel
from mmseg.models import BaseSegmentor, SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..models.openvino_network import compile_by_openvino, openvino_core

# By suffix: which runtimes read such a file, the first by default.
READ_BY = {'.onnx': ('onnxruntime', 'openvino'), '.xml': ('openvino',), '.pt2': ('torch',)}
RUNTIMES = ('torch', 'onnxruntime', 'openvino')

Run = Callable[[np.ndarray], np.ndarray]


class Runtime:
    """An exported network, ready to run by several threads, each on as many cores as PyTorch takes.

    Args:
        path: A file that ``tools/export.py`` wrote.
        runtime: One of ``RUNTIMES``. Default: the first one that reads such a file.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If the runtime is not installed, or does not read the file.
    """

    def __init__(self, path: str | os.PathLike, runtime: str | None = None):
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'There is no exported file {str(path)!r}.')
        known = READ_BY.get(path.suffix)
        if known is None or (runtime and runtime not in known):
            raise ValueError(
                f'{path.name} is not read by {runtime or "any runtime"}: ONNX Runtime reads .onnx, '
                'OpenVINO .xml and .onnx, PyTorch .pt2.'
            )
        self.path, self.name = path, runtime or known[0]
        try:
            # metadata: what the file says of itself, text by name
            self._run, self.metadata = _OPEN[self.name](path)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{path} needs {error.name}, which is not installed: pip install -e '.[deploy]'."
            ) from error
        except Exception as error:  # each runtime raises its own
            raise ValueError(f'{path} is not read by {self.name}: {_line(error)}') from error

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Run the network on (N, 3, H, W), as the file wants it; another size is a ValueError."""
        try:
            return self._run(image)
        except Exception as error:
            raise ValueError(
                f'{self.path} does not take {image.dtype} {image.shape} (any size needs '
                f'tools/export.py --dynamic): {_line(error)}'
            ) from error


def _line(error: Exception) -> str:
    return str(error).strip().partition('\n')[0] or repr(error)


def _open_onnxruntime(path: Path) -> tuple[Run, dict[str, str]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    providers = onnxruntime.get_available_providers()
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    metadata = session.get_modelmeta().custom_metadata_map
    return lambda image: session.run(None, {'image': image})[0], metadata


def _open_openvino(path: Path) -> tuple[Run, dict[str, str]]:
    model = openvino_core().read_model(path)
    place = ['deeplabv3x'] if path.suffix == '.xml' else ['framework']
    info = model.get_rt_info(place).astype(dict) if model.has_rt_info(place) else {}
    return compile_by_openvino(model), {name: value.astype(str) for name, value in info.items()}


def _open_torch(path: Path) -> tuple[Run, dict[str, str]]:
    names = 'classes palette channel_order normalise_inside output align_corners threshold mean std'
    texts = dict.fromkeys(names.split(), '')
    program = torch.export.load(path, extra_files=texts)
    # A guard compares strides of the example, padded on both sides, with those of other sizes; the
    # graph is right for them all the same, which `tools/export.py` tries.
    try:
        module = program.module(check_guards=False)
    except TypeError:  # PyTorch without guards
        module = program.module()
    run = torch.no_grad()(lambda image: module(torch.from_numpy(image)).numpy())
    return run, {name: text for name, text in texts.items() if text}


_OPEN = {'torch': _open_torch, 'onnxruntime': _open_onnxruntime, 'openvino': _open_openvino}


def exported_model(file: str, runtime: str | None = None) -> dict | None:
    """The model, as a config has it, that a file of ``tools/export.py`` stands for.

    None if it is none, by its suffix, but a checkpoint; a ``runtime`` for that is a ValueError.
    """
    if Path(file).suffix in READ_BY:
        return dict(type='ExportedSegmentor', file=file, runtime=runtime)
    if runtime:
        raise ValueError(
            f'{runtime} runs files that tools/export.py writes ({", ".join(READ_BY)}), but got '
            f'{file}: export it, or name no runtime.'
        )
    return None


@MODELS.register_module()
class ExportedSegmentor(BaseModel):
    """Predicts by a file of ``tools/export.py``; it cannot be trained.

    How images are normalised, and what the output is, the file says itself; so it does of its
    classes and colours (``dataset_meta``).

    Args:
        file: Path of the file.
        runtime: 'torch', 'onnxruntime' or 'openvino'. Default: the first one that reads such a
            file.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If the file is not one of ``tools/export.py``, or as of :class:`Runtime`.
    """

    def __init__(self, file: str | os.PathLike, runtime: str | None = None):
        network = Runtime(file, runtime)
        meta = network.metadata
        if 'output' not in meta or 'classes' not in meta:
            raise ValueError(
                f'{file} does not say what it holds: export it by tools/export.py, which writes '
                'classes, colours, mean and deviation into it.'
            )
        meta = {key: _value(text) for key, text in meta.items()}
        self.normalise_inside = meta['normalise_inside']
        preprocessor = dict(bgr_to_rgb=meta['channel_order'] == 'rgb')
        if not self.normalise_inside:
            preprocessor.update({key: meta.get(key) for key in ('mean', 'std')})
        super().__init__(SegDataPreProcessor(test_cfg=dict(size_divisor=1), **preprocessor))
        self.network = network
        self.output = meta['output']
        self.file = os.fspath(file)
        # what mmseg's methods ask for
        self.align_corners = meta.get('align_corners', False)  # older files lack it
        self.decode_head = SimpleNamespace(threshold=meta['threshold'])
        self.dataset_meta = {key: meta[key] for key in ('classes', 'palette')}
        # one channel, cut at the threshold, also where the file holds both probabilities
        number = len(self.dataset_meta['classes'])
        # of more channels, a head ignores its threshold, which older files name all the same
        sigmoid = number <= 2 and self.decode_head.threshold is not None
        self.out_channels = 1 if sigmoid and self.output != 'classes' else number

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[SegDataSample] | None = None,
        mode: str = 'tensor',
    ) -> list[SegDataSample]:
        """Predict a batch, (N, 3, H, W), as of the data preprocessor; another mode is a ValueError.

        A result has ``pred_sem_seg``, (1, H, W), and ``seg_logits``, (num_classes, H, W): of a file
        that gives classes alone, 1 for its class, so that views cast votes.
        """
        if mode != 'predict':
            raise ValueError(f'An exported file only predicts, but mode {mode!r} was asked for.')
        image = inputs.to(torch.uint8) if self.normalise_inside else inputs.float()
        scores = torch.from_numpy(np.asarray(self.network(image.cpu().numpy())))
        if self.output == 'probabilities' and self.out_channels == 1:
            scores = torch.logit(scores[:, 1:], torch.finfo(scores.dtype).eps)
        elif self.output == 'probabilities':
            scores = scores.clamp_min(torch.finfo(scores.dtype).tiny).log()
        elif self.output == 'classes':
            shape = (len(scores), len(self.dataset_meta['classes']), *scores.shape[1:])
            scores = torch.zeros(shape).scatter_(1, scores[:, None].long(), 1)
        return self.postprocess_result(scores, data_samples)

    # back to the image's own size, and its mirror image
    postprocess_result = BaseSegmentor.postprocess_result


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:  # plain text
        return text
