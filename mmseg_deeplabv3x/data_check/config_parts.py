"""The datasets of a config, and its other parts that the checks compare."""

from mmengine.config import Config
from mmseg.registry import TRANSFORMS

from ..transforms.kinds import builds_one_of


def leaves(cfg: Config, *loaders: str) -> list[tuple[str, dict]]:
    """Configs of the datasets of data loaders, inside any wrappers, with their dotted keys."""
    return [leaf for key in loaders for leaf in _leaves(cfg.get(key) or {}, key)]


def _leaves(cfg: dict, key: str) -> list[tuple[str, dict]]:
    inner = [(f'{key}.dataset', cfg['dataset'])] if cfg.get('dataset') else []
    inner += [(f'{key}.datasets[{i}]', part) for i, part in enumerate(cfg.get('datasets') or [])]
    if not inner:
        return [(key, cfg)] if '.' in key else []
    return [leaf for place, part in inner for leaf in _leaves(part, place)]


def loader_arguments(pipeline: list[dict], base: type, default: dict | None) -> dict | None:
    """Arguments of the first step of a pipeline that is a kind of ``base``."""
    for step in pipeline:
        if builds_one_of(step, base, TRANSFORMS):
            return {key: value for key, value in step.items() if key != 'type'}
    return default


def preprocessor(cfg: Config) -> dict:
    """The config of the model's data preprocessor."""
    return (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def as_list(parts) -> list[dict]:
    """One part, several, or none."""
    return list(parts) if isinstance(parts, (list, tuple)) else [parts] if parts else []
