"""The datasets of a config, and its other parts that the checks compare."""

import mmcv.transforms
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS, TRANSFORMS

from ..datasets import FaultTolerantDataset
from ..transforms import LoadCheckedAnnotations, LoadCheckedImage
from ..transforms.kinds import builds_one_of, kind_of


def leaves(cfg: Config, *loaders: str) -> list[tuple[str, dict]]:
    """Configs of the datasets of data loaders, inside any wrappers, with their dotted keys."""
    return [leaf for key in loaders for leaf in _leaves(cfg.get(key) or {}, key)]


def _leaves(cfg: dict, key: str) -> list[tuple[str, dict]]:
    inner = [(f'{key}.dataset', cfg['dataset'])] if cfg.get('dataset') else []
    inner += [(f'{key}.datasets[{i}]', part) for i, part in enumerate(cfg.get('datasets') or [])]
    if not inner:
        return [(key, cfg)] if '.' in key else []
    return [leaf for place, part in inner for leaf in _leaves(part, place)]


# Others that are derived from them may read files in a way of their own.
KNOWN_LOADERS = (
    LoadImageFromFile, mmcv.transforms.LoadAnnotations, LoadAnnotations,
    LoadCheckedImage, LoadCheckedAnnotations,
)  # fmt: skip


def loader_arguments(pipeline: list[dict], base: type, default: dict | None) -> dict | None:
    """Arguments of the first step of a pipeline that is a kind of ``base``.

    None if it is none of ``KNOWN_LOADERS``, ``default`` if there is no such step.
    """
    for step in pipeline:
        if builds_one_of(step, base, TRANSFORMS):
            known = kind_of(step, TRANSFORMS) in KNOWN_LOADERS
            return {key: value for key, value in step.items() if key != 'type'} if known else None
    return default


def flat_steps(pipeline: list) -> list[dict]:
    """The steps of a pipeline and of those that hold others, such as ``TestTimeAug``."""
    steps = []
    for step in pipeline:
        inner = step if isinstance(step, (list, tuple)) else step.get('transforms') or []
        steps += [step] * isinstance(step, dict) + flat_steps(inner)
    return steps


def skips_bad_samples(dataset: dict) -> bool:
    """Whether a dataset's config has a ``FaultTolerantDataset`` that goes on without bad files."""
    tolerant = kind_of(dataset, DATASETS) is FaultTolerantDataset if 'type' in dataset else False
    inner = [*as_list(dataset.get('dataset')), *as_list(dataset.get('datasets'))]
    return tolerant and dataset.get('on_bad_sample') == 'skip' or any(map(skips_bad_samples, inner))


def preprocessor(cfg: Config) -> dict:
    """The config of the model's data preprocessor."""
    return (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def as_list(parts) -> list[dict]:
    """One part, several, or none."""
    return list(parts) if isinstance(parts, (list, tuple)) else [parts] if parts else []
