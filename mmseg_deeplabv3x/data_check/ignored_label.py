"""The label of the pixels that do not count, wherever a config has it."""

import inspect

from mmcv.transforms import Pad
from mmengine.config import Config
from mmseg.registry import METRICS, MODELS, TRANSFORMS

from .config_parts import as_list, class_of, leaves, preprocessor

_NAMES = ('ignore_index', 'seg_pad_val')


def ignored_label(cfg: Config, loaders: tuple[str, ...]) -> int:
    """The ``ignore_index`` of the decode head, once it is known that all others agree.

    Steps of the pipelines that take an ``ignore_index`` or ``seg_pad_val``, and are given none in
    the config, are given the head's in ``cfg``.

    Args:
        cfg: A runner's config.
        loaders: The data loaders that are used.

    Returns:
        The label; mmseg's 255 where there is no head that has one.

    Raises:
        ValueError: If heads, preprocessor, metrics and pipelines differ; names all.
    """
    model, found = cfg.get('model') or {}, {}
    parts = [
        (f'model.{key}', MODELS, head)
        for key in ('decode_head', 'auxiliary_head')
        for head in as_list(model.get(key))
    ]
    if 'train_dataloader' in loaders:  # what pads labels
        parts.append(('model.data_preprocessor', MODELS, preprocessor(cfg)))
    for loader in loaders:
        key = loader.replace('dataloader', 'evaluator')
        parts += [(key, METRICS, metric) for metric in as_list(cfg.get(key))]
    for place, registry, part in parts:
        for name in _NAMES:
            value = part.get(name, _default(registry, part, name))
            if value is not None:
                found.setdefault(f'{place}.{name}', set()).add(value)
    heads = [value for place, value in found.items() if 'head' in place]
    if not heads:
        return 255
    label = min(heads[0])
    for loader in loaders:
        for key, leaf in leaves(cfg, loader):
            for i, step in enumerate(leaf.get('pipeline') or []):
                place = f'{key}.pipeline[{i}] ({step["type"]})'
                for name in _NAMES:
                    if name in step:
                        found[f'{place}.{name}'] = {step[name]}
                    elif _default(TRANSFORMS, step, name) not in (None, label):
                        step[name] = label
                if issubclass(class_of(TRANSFORMS, step), Pad):
                    padding = step.get('pad_val')
                    padding = padding.get('seg', 255) if isinstance(padding, dict) else 255
                    found[f'{place}.pad_val.seg'] = {padding}
    if any(values != {label} for values in found.values()):
        listed = ', '.join(
            f'{place} is {" and ".join(map(str, sorted(values)))}'
            for place, values in found.items()
        )
        raise ValueError(f'The label of ignored pixels differs: {listed}; give all the same.')
    return label


def _default(registry, part: dict, name: str) -> int | None:
    """What a part of a config takes an argument for that is not given; None if it has none."""
    for base in class_of(registry, part).__mro__[:-1]:
        parameter = inspect.signature(base.__init__).parameters.get(name)
        if parameter is not None and isinstance(parameter.default, int):
            return parameter.default
    return None
