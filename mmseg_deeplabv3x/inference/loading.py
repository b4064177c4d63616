"""From a config and a checkpoint to a model that predicts, and the transforms before it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.datasets.transforms import LoadImageFromNDArray, PackSegInputs
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..checkpoint_objects import why_refused
from ..engine.checkpoints.loading import complete, inner_model
from ..transforms.kinds import IMAGE_LOADERS, LABEL_LOADERS, builds_one_of, kind_of
from .config_text import parse_config
from .exported_segmentor import ExportedSegmentor
from .runtimes import READ_BY


class Loaded(NamedTuple):
    """What a predictor is made of.

    Attributes:
        model: In evaluation mode, on its device.
        transforms: From ``dict(img=...)`` to what the model's ``test_step`` takes.
        classes: Their names.
        palette: Their colours, (R, G, B).
        config: The config; an empty one for an exported file.
    """

    model: nn.Module
    transforms: Compose
    classes: tuple[str, ...]
    palette: list[list[int]]
    config: Config


def load(
    config: str | os.PathLike | Config | None,
    checkpoint: str,
    device: str,
    runtime: str | None = None,
) -> Loaded:
    """Build a model, load its weights and prepare its test pipeline for images in memory.

    Args:
        config: A config file or config; None takes the one in the checkpoint, parsed as data.
        checkpoint: The file, or an address that mmengine loads from; or a file of
            ``tools/export.py``, which needs no config.
        device: As of PyTorch.
        runtime: For an exported file, as of :class:`.runtimes.Runtime`.

    Returns:
        Model, transforms, classes and palette.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the checkpoint holds no config and none is given, or does not fit the model.
    """
    if Path(checkpoint).suffix in READ_BY:
        return _load_exported(checkpoint, runtime)
    content = _read(checkpoint)
    meta = content.get('meta') or {}
    if config is None:
        config = _config_in(content, checkpoint)
    elif not isinstance(config, Config):
        config = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmseg'):
        model = MODELS.build(_without_pretrained(config.model))
        load_all(model, content.get('state_dict', content), checkpoint)
        transforms = Compose(_for_arrays(_test_pipeline(config)))
        dataset_meta = {**_dataset_meta(config), **(meta.get('dataset_meta') or {})}
    number = _num_classes(model)
    classes = tuple(dataset_meta.get('classes') or (f'class {i}' for i in range(number)))
    palette = dataset_meta.get('palette') or _colours(len(classes))
    colours = [list(colour) for colour in palette]
    return Loaded(model.to(device).eval(), transforms, classes, colours, config)


def _load_exported(file: str, runtime: str | None) -> Loaded:
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = ExportedSegmentor(file, runtime)
        transforms = Compose([dict(type=LoadImageFromNDArray), dict(type=PackSegInputs)])
    return Loaded(model.eval(), transforms, model.classes, model.palette, Config())


def set_output_stride(model: nn.Module, output_stride: int) -> None:
    """Predict at another output_stride.

    Raises:
        ValueError: If the model is no ``DeepLabV3``, or it is no output_stride.
    """
    model = getattr(model, 'module', model)
    if not hasattr(model, 'output_strides'):
        raise ValueError(
            f'output_stride={output_stride} needs a DeepLabV3, but the model is a '
            f'{type(model).__name__}.'
        )
    model.output_strides = dict(model.output_strides, test=output_stride)
    model.eval()


def checkpoint_config(checkpoint: str) -> Config:
    """The config that mmengine stored in a checkpoint, parsed as data.

    Raises:
        FileNotFoundError: If the checkpoint is not there.
        ValueError: If it holds none.
    """
    return _config_in(_read(checkpoint), checkpoint)


def _read(checkpoint: str) -> dict:
    if '://' not in checkpoint and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'There is no checkpoint file {checkpoint!r}.')
    try:
        return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(f'{checkpoint} is not loaded: {why_refused(error)}.') from error


def _config_in(content: dict, checkpoint: str) -> Config:
    text = (content.get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        raise ValueError(f'{checkpoint} holds no config: give the config file too.')
    return parse_config(text)


def load_all(model: nn.Module, state_dict: dict, source: str) -> None:
    """Load weights, all of them.

    Args:
        model: The model; under test-time augmentation, that of its ``module``.
        state_dict: Names and tensors, or what :func:`.reading.unwrap` takes them out of.
        source: Where they are from, for the message.

    Raises:
        ValueError: If a tensor is missing or has another shape; names the first ones.
    """
    model, state_dict = inner_model(model), dict(state_dict)
    complete(model, state_dict, source, 'evaluation')
    model.load_state_dict(state_dict)


def _without_pretrained(cfg):
    """A model's config that starts from no weights, which the checkpoint brings."""
    if isinstance(cfg, dict):
        kept = {k: _without_pretrained(v) for k, v in cfg.items() if k != 'pretrained'}
        if (kept.get('init_cfg') or {}) and _is_pretrained(kept['init_cfg']):
            kept['init_cfg'] = None
        return type(cfg)(kept)
    return cfg


def _is_pretrained(init_cfg) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'


def _test_pipeline(config: Config) -> Sequence[dict]:
    """The pipeline of a test, found through any wrapper around its dataset."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    pipeline = dataset.get('pipeline') or config.get('test_pipeline')
    if not pipeline:
        raise ValueError('The config has no test_dataloader.dataset.pipeline and no test_pipeline.')
    return pipeline


def _for_arrays(pipeline: Sequence[dict]) -> list[dict]:
    """A pipeline that takes its image from memory and loads no labels."""
    steps = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            step = _for_arrays(step)
            steps += [step] if step else []
            continue
        if builds_one_of(step, LABEL_LOADERS):
            continue
        if 'transforms' in step:
            step = dict(step, transforms=_for_arrays(step['transforms']))
        elif builds_one_of(step, IMAGE_LOADERS):
            step = dict(type=LoadImageFromNDArray)
        steps.append(step)
    return steps


def _dataset_meta(config: Config) -> dict:
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    kind = kind_of(dataset, DATASETS) if 'type' in dataset else None
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}


def _num_classes(model: nn.Module) -> int:
    head = getattr(model, 'module', model).decode_head
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return max(head.num_classes, 2)


def _colours(number: int) -> list[list[int]]:
    """Colours for classes that bring none: PASCAL VOC's rule, the bits of a class dealt out."""
    colours = []
    for n in range(number):
        colour = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                colour[channel] |= (n >> 3 * bit + channel & 1) << 7 - bit
        colours.append(colour)
    return colours


def default_device() -> str:
    """The first GPU, else the CPU."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'
