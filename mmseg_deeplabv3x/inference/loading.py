"""From a config and a checkpoint to a model that predicts, and the transforms before it."""

import ast
import copy
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..checkpoint_objects import why_refused
from ..datasets.voc_masks import voc_colours
from ..engine.checkpoints.loading import complete, inner_model
from ..transforms.kinds import IMAGE_LOADERS, LABEL_LOADERS, builds_one_of, kind_of, replace_steps
from .exported_segmentor import ExportedSegmentor, exported_model

# The pipeline of an exported file for which no config is given.
_OF_EXPORTED = [dict(type='mmseg.LoadImageFromNDArray'), dict(type='mmseg.PackSegInputs')]


class Loaded(NamedTuple):
    """What a predictor is made of."""

    model: nn.Module  # in evaluation mode, on its device
    transforms: Compose  # from dict(img=...) to what the model's test_step takes
    classes: tuple[str, ...]
    palette: list[list[int]]  # (R, G, B) of each class
    config: Config  # as it was built


def load(
    config: str | os.PathLike | Config | None,
    checkpoint: str,
    device: str,
    runtime: str | None = None,
    output_stride: int | None = None,
) -> Loaded:
    """Build a model, load its weights and prepare its test pipeline for images in memory.

    Config, checkpoint and runtime are as of :func:`read`; the output_stride is by default that of
    the config's test.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the checkpoint holds no config and none is given, or does not fit the model,
            or there is no such device.
    """
    config, content = read(config, checkpoint, runtime)
    if output_stride is not None:
        set_output_stride(config.model, output_stride)
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmseg'):
        model = MODELS.build(_without_pretrained(config.model))
        if not isinstance(inner_model(model), ExportedSegmentor):  # which has its own
            weights = dict(content.get('state_dict', content))
            complete(inner_model(model), weights, checkpoint, 'evaluation')
            inner_model(model).load_state_dict(weights)
        transforms = Compose(replace_steps(_test_pipeline(config), _from_memory))
        known = [
            _dataset_meta(config),
            (content.get('meta') or {}).get('dataset_meta') or {},
            getattr(inner_model(model), 'dataset_meta', {}),  # of an exported file
        ]
    dataset_meta = {key: value for meta in known for key, value in meta.items()}
    classes = dataset_meta.get('classes') or [f'class {i}' for i in range(_num_classes(model))]
    palette = dataset_meta.get('palette') or ()
    if len(palette) != len(classes):  # of a dataset whose classes the config has changed
        palette = voc_colours(len(classes))
    try:
        model = model.to(device).eval()
    except (AssertionError, RuntimeError) as error:  # as PyTorch says that it has no CUDA
        raise ValueError(f'There is no device {device!r} here: {error}.') from error
    return Loaded(model, transforms, tuple(classes), [list(colour) for colour in palette], config)


def read(
    config: str | os.PathLike | Config | None, checkpoint: str, runtime: str | None = None
) -> tuple[Config, dict]:
    """Read what a predictor is made of: the config, a copy, and what is in the checkpoint.

    A ``config`` of None takes the one in the checkpoint, parsed as data. A checkpoint is a file, or
    an address that mmengine loads from. A file of ``tools/export.py`` in its place needs no config
    and takes of one the test pipeline and test-time augmentation; it stands in the config, as its
    model, and there is nothing to load.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the checkpoint holds no config and none is given, or is no checkpoint.
    """
    exported = exported_model(checkpoint, runtime)
    content = {} if exported else _read(checkpoint)
    if config is None and exported:
        config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=_OF_EXPORTED))))
    elif config is None:
        text = (content.get('meta') or {}).get('cfg')
        if not isinstance(text, str):
            raise ValueError(f'{checkpoint} holds no config: give the config file too.')
        config = parse_config(text)
    else:
        config = copy.deepcopy(config) if isinstance(config, Config) else Config.fromfile(config)
    if exported:
        model = config.get('model') or {}
        config.model = dict(model, module=exported) if 'module' in model else exported
    return config, content


def set_output_stride(model: ConfigDict, output_stride: int) -> None:
    """Evaluate a model at another output_stride; the one that it was trained at stays.

    ``model`` is the config of a segmentor, also under test-time augmentation, changed in place. One
    that has no output_stride is a ValueError.
    """
    model = model.get('module') or model
    own = model.get('output_stride')
    if own is None:
        segmentor = kind_of(model, MODELS)
        parameters = inspect.signature(segmentor).parameters if segmentor else {}
        if 'output_stride' not in parameters:
            raise ValueError(
                f'An output_stride of {output_stride} needs a segmentor that has one, such as this '
                f"package's DeepLabV3, but the model is {model.type}."
            )
        own = parameters['output_stride'].default
    trained = own if isinstance(own, Mapping) else dict(train=own)
    model.output_stride = dict(trained, test=output_stride)


def _read(checkpoint: str) -> dict:
    if '://' not in checkpoint and not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'There is no checkpoint file {checkpoint!r}.')
    try:
        return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(f'{checkpoint} is not loaded: {why_refused(error)}.') from error


def _without_pretrained(cfg):
    """A model's config that loads nothing when it is built, as timm's networks may."""
    if isinstance(cfg, dict):
        return type(cfg)({k: _without_pretrained(v) for k, v in cfg.items() if k != 'pretrained'})
    return cfg


def _test_dataset(config: Config) -> dict:
    return (config.get('test_dataloader') or {}).get('dataset') or {}


def _test_pipeline(config: Config) -> Sequence[dict]:
    """The pipeline of a test, found through any wrapper around its dataset."""
    dataset = _test_dataset(config)
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    pipeline = dataset.get('pipeline') or config.get('test_pipeline')
    if not pipeline:
        raise ValueError('The config has no test_dataloader.dataset.pipeline and no test_pipeline.')
    return pipeline


def _from_memory(step: dict) -> dict | None:
    """A step of a pipeline that takes its image from memory and has no labels."""
    if builds_one_of(step, IMAGE_LOADERS):
        return _OF_EXPORTED[0]
    return None if builds_one_of(step, LABEL_LOADERS) else step


def _dataset_meta(config: Config) -> dict:
    dataset = _test_dataset(config)
    kind = kind_of(dataset, DATASETS) if 'type' in dataset else None
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}


def _num_classes(model: nn.Module) -> int:
    head = getattr(model, 'module', model).decode_head
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return max(head.num_classes, 2)


def parse_config(text: str) -> Config:
    """Parse the config that a checkpoint of mmengine holds (``meta['cfg']``) as data.

    It is what ``Config.pretty_text`` writes: assignments of numbers, strings, lists, tuples and
    dicts; anything else is a ValueError. ``Config.fromstring`` would run it as a program, and a
    checkpoint may come from anywhere. What ``custom_imports`` names is not imported either.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f'The config in the checkpoint cannot be parsed: {error}.') from error
    settings = {}
    for statement in statements:
        try:
            (target,) = statement.targets
            settings[target.id] = _data(statement.value)
        except (AttributeError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f'The config in the checkpoint holds {ast.unparse(statement)[:60]!r} in line '
                f'{statement.lineno}, which is not plain data: give the config file.'
            ) from error
    return Config(settings)


def _data(node: ast.expr) -> object:
    """What an expression stands for, also ``dict(...)``, ``inf`` and ``nan``; else ValueError."""
    match node:
        case ast.Call(ast.Name('dict'), [ast.Dict() as only], []):
            return _data(only)
        case ast.Call(ast.Name('dict'), [], named) if all(one.arg for one in named):
            return {one.arg: _data(one.value) for one in named}
        case ast.Dict(keys, values):
            return {_data(key): _data(value) for key, value in zip(keys, values)}
        case ast.List(parts):
            return [_data(part) for part in parts]
        case ast.Tuple(parts):
            return tuple(_data(part) for part in parts)
        case ast.UnaryOp(ast.USub(), ast.Name() as number):
            return -_data(number)
        case ast.Name('inf' | 'nan' as number):
            return float(number)
    return ast.literal_eval(node)
