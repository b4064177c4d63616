"""The label of the pixels that do not count, wherever a config has it."""

import inspect

from mmengine.config import Config
from mmengine.registry import Registry
from mmseg.registry import METRICS, MODELS, TRANSFORMS

from ..transforms.kinds import kind_of, parts


def ignored_label(cfg: Config, loaders: tuple[str, ...]) -> int:
    """The ``ignore_index`` of the decode head, mmseg's 255 without one, if all others agree.

    Steps of the pipelines of these loaders that take an ``ignore_index`` or ``seg_pad_val``, and
    are given none in the config, are given the head's in ``cfg``.

    Raises:
        ValueError: If heads, losses, preprocessor, metrics and pipelines differ; names all.
    """
    evaluators = [loader.replace('dataloader', 'evaluator') for loader in loaders]
    pads = 'train_dataloader' in loaders  # the preprocessor pads labels in a training alone
    model = ['model']
    if 'data_preprocessor' not in (cfg.get('model') or {}):
        model.append('data_preprocessor')  # which the runner takes for a model without one
    found = {}
    for registry, keys in ((MODELS, model), (METRICS, evaluators)):
        for path, part in parts({key: cfg.get(key) for key in keys}):
            if pads or 'data_preprocessor' not in path:
                for name, value in _labels(registry, part).items():
                    found[f'{path}.{name}'] = part.get(name, value)
    label = next((value for path, value in found.items() if 'decode_head' in path), None)
    if label is None:
        return 255
    for path, step in parts({key: cfg.get(key) for key in loaders}):
        for name, value in _labels(TRANSFORMS, step).items():
            if name == 'pad_val':  # of Pad
                value = dict(value, **step[name]) if isinstance(step.get(name), dict) else value
                found[f'{path}.pad_val.seg'] = value['seg']
            elif name in step:
                found[f'{path}.{name}'] = step[name]
            elif value != label:
                step[name] = label
    if any(value != label for value in found.values()):
        listed = ', '.join(f'{path} is {value!r}' for path, value in found.items())
        raise ValueError(f'The label of ignored pixels differs: {listed}; give all the same.')
    return label


def _labels(registry: Registry, part: dict) -> dict:
    """The arguments of a part of a config that name the ignored label, and their defaults."""
    found = {}
    for base in getattr(kind_of(part, registry), '__mro__', ()):
        for name, parameter in inspect.signature(base.__init__).parameters.items():
            value = parameter.default
            is_label = name in ('ignore_index', 'seg_pad_val') and isinstance(value, int)
            if is_label or name == 'pad_val' and isinstance(value, dict) and 'seg' in value:
                found.setdefault(name, value)
    return found
