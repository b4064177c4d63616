"""The datasets of a config, and what is wrong with their lists."""

import inspect
import os.path as osp
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import mmcv.transforms
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmseg.registry import DATASETS, TRANSFORMS

from ..datasets.how_to_get import missing_data
from ..datasets.lists import checked_data_list
from ..datasets.reading import is_local
from ..transforms import LoadCheckedAnnotations, LoadCheckedImage
from ..transforms.kinds import LABEL_LOADERS, builds_one_of, kind_of, parts
from .file_locations import check_list, check_locations
from .ignored_label import ignored_label
from .problem import MISSING, Problem

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
NOT_READ = {}  # in the place of a backend's arguments: no step of the pipeline asks for it
# Others that are derived from them may read files in a way of their own.
KNOWN_LOADERS = (
    LoadImageFromFile, mmcv.transforms.LoadAnnotations, LoadAnnotations,
    LoadCheckedImage, LoadCheckedAnnotations,
)  # fmt: skip
_KNOWN_PACKAGES = ('mmcv', 'mmseg', __name__.partition('.')[0])
# Of what cannot be listed: the kind of the problem; others are of no dataset that mmseg knows.
_ERRORS = {FileNotFoundError: MISSING, AssertionError: MISSING, ValueError: 'unreadable'}
_FOREIGN = (TypeError, AttributeError, KeyError)


@dataclass
class Split:
    """One dataset of a config."""

    name: str  # the loaders that read it, as 'val, test'; with a number where one reads several
    metainfo: dict  # classes and palette
    # mmseg's annotations; without those whose files are none, or lie outside where it is forbidden
    infos: list[dict]
    # with the list of images, and local files that are missing, lie outside or are none
    problems: list[Problem]
    # loads what the pipeline's own loader does, and says what is wrong; None if that is not known
    load_image: LoadCheckedImage | None = None
    load_mask: LoadCheckedAnnotations | None = None
    ignore_index: int = 255  # label of the pixels that do not count
    # steps after the loader of masks that may give its ids another meaning: no mmseg's, not ours
    changes: list[Callable] = field(default_factory=list)
    known_ids: dict[int, int] = field(default_factory=dict)  # what became of ids by these steps


def load_splits(cfg: Config, loaders: tuple[str, ...] = LOADERS) -> list[Split]:
    """List the images of the datasets of a runner's config, through any wrapper around them.

    Every dataset comes once, training first, also where val and test are the same.
    """
    found = []  # [name, key, config] of each
    for loader in loaders:
        datasets = leaves(cfg.get(loader) or {}, loader)
        for i, (key, leaf) in enumerate(datasets):
            name = loader.replace('_dataloader', '') + (f'[{i}]' if len(datasets) > 1 else '')
            for known in found:
                same = dict(known[2], pipeline=leaf.get('pipeline')) == leaf
                if same and not known[0].startswith('train'):
                    known[0] += f', {name}'
                    break
            else:
                found.append([name, key, leaf])
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmseg'):
        label = ignored_label(cfg, loaders)
        return [_load(cfg, label, *split) for split in found]


def leaves(cfg: dict, key: str) -> list[tuple[str, dict]]:
    """Configs of the datasets of a data loader, inside any wrappers, with their dotted keys."""
    inner = [(f'{key}.dataset', cfg['dataset'])] if cfg.get('dataset') else []
    inner += [(f'{key}.datasets.{i}', part) for i, part in enumerate(cfg.get('datasets') or [])]
    if not inner:
        return [(key, cfg)] if '.' in key else []
    return [leaf for place, part in inner for leaf in leaves(part, place)]


def _load(whole: Config, ignore_index: int, name: str, key: str, cfg: dict) -> Split:
    kind = cfg['type']
    root = cfg.get('data_root') or _default_root(kind)
    pipeline, default = cfg.get('pipeline') or [], dict(backend_args=cfg.get('backend_args'))
    image_args = _loader_arguments(pipeline, LoadImageFromFile, None if pipeline else default)
    unknown = None if image_args is None else default
    mask_args = _loader_arguments(pipeline, mmcv.transforms.LoadAnnotations, unknown)
    masks = [step for _, step in parts(pipeline) if builds_one_of(step, LABEL_LOADERS)]
    backends = {
        key: (default if args is None else args).get('backend_args')
        for key, args in (('img_path', image_args), ('seg_map_path', mask_args))
    }
    if name == 'test' and pipeline and not masks:
        backends['seg_map_path'] = NOT_READ
    for path in _paths(root, cfg, backends):
        if not osp.exists(path):  # mmseg would list a folder in place of a missing list of images
            message = missing_data(kind, path, root)
            message += f'; or set {key}.data_root to the folder that holds it.'
            return Split(name, {}, [], [Problem(name, MISSING, path, message)])
    try:
        # not serialized, so that an empty one loads too
        dataset = DATASETS.build(dict(cfg, pipeline=[], lazy_init=True, serialize_data=False))
        if isinstance(dataset, BaseSegDataset):
            dataset.load_data_list = partial(checked_data_list, dataset, dataset.load_data_list)
        dataset.full_init()
        infos, classes = dataset.data_list, dataset.metainfo.get('classes')
        if not all('img_path' in info for info in infos):
            raise TypeError("its annotations have no 'img_path'")
        if not classes:
            raise TypeError("its metainfo has no 'classes'")
    except (*_ERRORS, *_FOREIGN) as error:
        what = next((_ERRORS[e] for e in _ERRORS if isinstance(error, e)), 'not checked')
        message = f'{kind} cannot be checked: {str(error).rstrip(".")}.'
        return Split(name, {}, [], [Problem(name, what, cfg.get('ann_file') or root, message)])

    roots = [folder for folder in (dataset.data_root, *dataset.data_prefix.values()) if folder]
    extra = whole.get('extra_data_roots') or []
    roots += ([extra] if isinstance(extra, str) else extra) if roots else []
    allow_links = whole.get('allow_outside_links', True)
    misplaced = check_locations(name, infos, backends, roots, allow_links)
    problems = check_list(name, dataset, infos) + misplaced
    refused = {id(problem.info) for problem in misplaced if not problem.is_missing_file}
    infos = [info for info in infos if id(info) not in refused]
    changes = _changes(pipeline, masks)
    for step in () if changes else masks:  # which may make fewer classes of the loader's
        if step.get('num_classes') not in (None, len(classes)):
            message = (
                f'{key}.pipeline: {step["type"]} has num_classes={step["num_classes"]}, but the '
                f'data of {name} has {len(classes)} classes: set num_classes={len(classes)}.'
            )
            problems.append(Problem(name, 'config', root, message))
    loaders = []
    asked = dict(num_classes=None if changes else len(classes), ignore_index=ignore_index)
    for loader, args, more in (
        (LoadCheckedImage, image_args, {}),
        (LoadCheckedAnnotations, mask_args, asked),
    ):
        try:
            loaders.append(loader(**dict(args, **more)))
        except (TypeError, ValueError) as error:  # another loader, or arguments of one
            why = error if args is not None else 'the pipeline loads them in a way of its own'
            problems.append(
                Problem(name, 'not checked', root, f'Files of {name} were not read: {why}.')
            )
            loaders.append(None)
    return Split(name, dataset.metainfo, infos, problems, *loaders, ignore_index, changes)


def _loader_arguments(pipeline: list[dict], base: type, default: dict | None) -> dict | None:
    """Arguments of the first step of a pipeline that is a kind of ``base``.

    None if it is none of ``KNOWN_LOADERS``, ``default`` if there is no such step.
    """
    step = next((step for step in pipeline if builds_one_of(step, base)), None)
    if step is None:
        return default
    known = kind_of(step) in KNOWN_LOADERS
    return {key: value for key, value in step.items() if key != 'type'} if known else None


def _changes(pipeline: list[dict], masks: list[dict]) -> list[Callable]:
    """The steps of others between the first of a pipeline that loads masks and the packing."""
    first = next((i for i, step in enumerate(pipeline) if step in masks), len(pipeline))
    packs = [i for i, step in enumerate(pipeline) if builds_one_of(step, PackSegInputs)]
    kinds = [(step, kind_of(step)) for step in pipeline[first + 1 : min(packs, default=None)]]
    return [
        TRANSFORMS.build(step)
        for step, kind in kinds
        if kind and kind.__module__.partition('.')[0] not in _KNOWN_PACKAGES
    ]


def _paths(root: str, cfg: dict, backends: dict[str, dict | None]) -> list[str]:
    """The local files and folders that a dataset's config names."""
    folders = (cfg.get('data_prefix') or {}).items()
    named = [(part, backends.get(key)) for key, part in folders]
    named = [('', backends['img_path']), (cfg.get('ann_file'), cfg.get('backend_args')), *named]
    paths = [(osp.join(root, part) if part else root, args) for part, args in named]
    return [path for path, args in paths if path and args is not NOT_READ and is_local(path, args)]


def _default_root(kind: str | type) -> str:
    """The ``data_root`` that a class takes where the config gives none."""
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    parameter = inspect.signature(kind).parameters.get('data_root') if kind else None
    return parameter.default if parameter and isinstance(parameter.default, str) else ''
