"""The datasets of a config and what their pipelines consist of."""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import Registry
from mmseg.registry import TRANSFORMS


def leaves(cfg: Config, loader: str) -> list[tuple[str, dict]]:
    """Configs of a data loader's datasets inside any wrappers, with their dotted keys."""
    return list(_leaves((cfg.get(loader) or {}).get('dataset'), f'{loader}.dataset'))


def _leaves(cfg: dict | None, key: str) -> Iterator[tuple[str, dict]]:
    if not cfg:
        return
    if cfg.get('dataset'):
        yield from _leaves(cfg['dataset'], f'{key}.dataset')
    for i, dataset in enumerate(cfg.get('datasets') or []):
        yield from _leaves(dataset, f'{key}.datasets[{i}]')
    if not cfg.get('dataset') and not cfg.get('datasets'):
        yield key, cfg


def class_of(registry: Registry, part: dict) -> type:
    """The class that the config of a part builds; ``object`` if that is not known."""
    kind = part.get('type')
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else object


def loader_arguments(pipeline: list[dict], base: type, default: dict | None) -> dict | None:
    """Arguments of the first step of a pipeline that is a kind of ``base``."""
    for step in pipeline:
        if issubclass(class_of(TRANSFORMS, step), base):
            return {key: value for key, value in step.items() if key != 'type'}
    return default


def preprocessor(cfg: Config) -> dict:
    """The config of the model's data preprocessor."""
    return (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def as_list(parts) -> list[dict]:
    """One part, several, or none."""
    return list(parts) if isinstance(parts, (list, tuple)) else [parts] if parts else []
