"""The label of the pixels that do not count, wherever a config has it."""

import inspect

from mmengine.config import Config
from mmseg.registry import METRICS, MODELS, TRANSFORMS

from ..transforms.kinds import kind_of
from .config_parts import as_list, flat_steps, leaves, preprocessor


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
    model = model if model.get('decode_head') else model.get('module') or model  # under TTA
    parts = [
        (f'model.{key}[{i}]', MODELS, head)
        for key in ('decode_head', 'auxiliary_head')
        for i, head in enumerate(as_list(model.get(key)))
    ]
    parts += [
        (f'{place}.loss_decode[{i}]', MODELS, loss)
        for place, _, head in parts
        for i, loss in enumerate(as_list(head.get('loss_decode')))
    ]
    if 'train_dataloader' in loaders:  # what pads labels
        parts.append(('model.data_preprocessor', MODELS, preprocessor(cfg)))
    for key in (loader.replace('dataloader', 'evaluator') for loader in loaders):
        parts += [(f'{key}[{i}]', METRICS, part) for i, part in enumerate(as_list(cfg.get(key)))]
    for place, registry, part in parts:
        for name, value in _defaults(registry, part).items():
            found[f'{place}.{name}'.replace('[0]', '')] = part.get(name, value)
    label = next((value for place, value in found.items() if 'decode_head' in place), None)
    if label is None:
        return 255
    for key, leaf in leaves(cfg, *loaders):
        for i, step in enumerate(flat_steps(leaf.get('pipeline') or [])):
            for name, value in _defaults(TRANSFORMS, step).items():
                if name == 'pad_val':  # of Pad
                    value = dict(value, **step[name]) if isinstance(step.get(name), dict) else value
                    found[f'{key}.pipeline[{i}].pad_val.seg'] = value['seg']
                elif name in step:
                    found[f'{key}.pipeline[{i}].{name}'] = step[name]
                elif value != label:
                    step[name] = label
    if any(value != label for value in found.values()):
        listed = ', '.join(f'{place} is {value}' for place, value in found.items())
        raise ValueError(f'The label of ignored pixels differs: {listed}; give all the same.')
    return label


def _defaults(registry, part: dict) -> dict:
    """The arguments of a part of a config that name the ignored label, and their defaults."""
    found, kind = {}, kind_of(part, registry) if part.get('type') else None
    for base in getattr(kind, '__mro__', ()):
        for name, parameter in inspect.signature(base.__init__).parameters.items():
            value = parameter.default
            is_label = name in ('ignore_index', 'seg_pad_val') and isinstance(value, int)
            if is_label or name == 'pad_val' and isinstance(value, dict) and 'seg' in value:
                found.setdefault(name, value)
    return found
