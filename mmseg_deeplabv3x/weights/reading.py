"""Files of weights: one flat state dict, whatever they are wrapped in."""

import argparse
import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checkpoint_objects import load_safely, why_refused
from .tensor_bundle import bundle_index, read_bundle

# Where a training keeps the network. The first that is there is taken: a moving average before
# the weights that were trained, since it is what such trainings publish.
_WRAPPINGS = (
    *('model_ema', 'state_dict_ema', 'ema', 'teacher'),
    *('state_dict', 'model_state_dict', 'model_state', 'model', 'student', 'network', 'net'),
)
_HUB = 'hf://'
_HUB_FILES = ('model.safetensors', 'pytorch_model.bin')  # the first that a repository has
_SAFETENSORS = dict(
    F64=torch.float64, F32=torch.float32, F16=torch.float16, BF16=torch.bfloat16,
    I64=torch.int64, I32=torch.int32, I16=torch.int16, I8=torch.int8, U8=torch.uint8,
    BOOL=torch.bool,
)  # fmt: skip


def read_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read a file of weights, without what :func:`unwrap` takes off; no code in it is run.

    ``.safetensors``, ``.npz``, what TensorFlow's Saver wrote (``model.ckpt``, of which
    ``model.ckpt.index`` is there), or a file of ``torch.save``, by any other name; or one of the
    Hugging Face Hub, ``hf://org/name``, as in ``hf://timm/resnet50.a1_in1k``, downloaded once.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be fetched or read, or holds no tensors.
    """
    path = os.fspath(path)
    path = _from_hub(path) if path.startswith(_HUB) else Path(path)
    index = bundle_index(path)
    if not path.is_file() and index is None:
        raise FileNotFoundError(f'There is no file of weights {path}.')
    try:
        if index is not None:
            return {key: torch.from_numpy(x) for key, x in read_bundle(index).items()}
        if path.suffix == '.safetensors':
            return unwrap(_read_safetensors(path))
        if path.suffix == '.npz':
            with np.load(path, allow_pickle=False) as arrays:
                numbers = {key: x for key, x in arrays.items() if x.dtype.kind in 'biuf'}
                return unwrap({key: torch.from_numpy(x) for key, x in numbers.items()})
        return unwrap(_read_torch(path))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error


def unwrap(content: Mapping) -> dict[str, Tensor]:
    """Take the state dict out of a checkpoint, and off its keys what wrappers put before them.

    The checkpoints are mmengine's, timm's, torchvision's references', DINO's, Lightning's; the
    prefixes ``module.`` (``DataParallel``), ``_orig_mod.`` (``torch.compile``), and ``model.`` or
    ``net.`` where all begin so. What holds no tensors is a ValueError.
    """
    inner = content
    while inner is not None:
        content = inner
        inner = next((content[w] for w in _WRAPPINGS if isinstance(content.get(w), Mapping)), None)
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not state:
        found = ', '.join(map(repr, list(content)[:5])) or 'nothing'
        raise ValueError(f'expected a state dict, tensors by name, but found {found}')
    state = {re.sub(r'^((module|_orig_mod)\.)+', '', key): value for key, value in state.items()}
    for prefix in ('model.', 'net.', 'network.', 'student.'):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{name} needs huggingface_hub, which is not installed: pip install huggingface_hub, '
            'or download the file and name it.'
        ) from error
    for file in _HUB_FILES:
        try:
            return Path(hf_hub_download(name.removeprefix(_HUB), file))
        except Exception as error:  # no such file, no such name, no network: each has its own
            reason = error
    first = str(reason).strip().splitlines()[0]
    raise ValueError(f'{name} cannot be fetched ({" or ".join(_HUB_FILES)}): {first}') from reason


def _read_torch(path: Path) -> Mapping:
    try:
        # the arguments of a command line, which trainings save beside their weights
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = load_safely(torch.load, path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(
            f'{why_refused(error)} (of a whole model, save state_dict() instead)'
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f'expected a state dict, but found a {type(content).__name__}')
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the format of https://github.com/huggingface/safetensors: a JSON header, then bytes."""
    data = bytearray(path.read_bytes())
    try:
        (length,) = struct.unpack_from('<Q', data)
        header = json.loads(data[8 : 8 + length])
        state = {}
        for key, entry in header.items():
            if key == '__metadata__':
                continue
            begin, end = (8 + length + offset for offset in entry['data_offsets'])
            dtype, values = _SAFETENSORS[entry['dtype']], data[begin:end]
            # no buffer is empty for torch
            flat = torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)
            state[key] = flat.reshape(entry['shape'])
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, struct.error) as error:
        raise ValueError('it is damaged, or no .safetensors file') from error
    return state
