"""The datasets of a config, and what is wrong with their lists."""

import inspect
import os.path as osp
from collections import Counter
from collections.abc import Iterable
from functools import cache, partial
from typing import NamedTuple

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..datasets.how_to_get import missing_data
from ..datasets.lists import checked_data_list, read_lines
from ..datasets.reading import is_local
from ..transforms import LoadCheckedAnnotations, LoadCheckedImage
from ..transforms.kinds import LABEL_LOADERS, builds_one_of
from .config_parts import flat_steps, leaves, loader_arguments
from .file_locations import check_locations
from .ignored_label import ignored_label
from .problem import MISSING, Problem
from .whole_splits import check_folders

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
NOT_READ = {}  # in the place of a backend's arguments: no step of the pipeline asks for it


class Split(NamedTuple):
    """One dataset of a config.

    Attributes:
        name: The loaders that read it, such as 'train' or 'val, test'; with a number where a
            loader reads several.
        metainfo: Classes and palette.
        infos: Annotation of each image, as mmseg's transforms get it; without those whose files
            are none, or lie outside of the data root where that is forbidden.
        problems: What is wrong with the list of images, and files that lie outside or are none.
        missing: Local images and masks that do not exist.
        load_image: Loads what the pipeline's own loader does, and says what is wrong; None if that
            loader is of a kind that is not known here.
        load_mask: The same for masks.
        ignore_index: Label of the pixels that do not count.
    """

    name: str
    metainfo: dict
    infos: list[dict]
    problems: list[Problem]
    missing: list[Problem]
    load_image: LoadCheckedImage | None = None
    load_mask: LoadCheckedAnnotations | None = None
    ignore_index: int = 255


def load_splits(cfg: Config, loaders: tuple[str, ...] = LOADERS) -> list[Split]:
    """List the images of a config's datasets, through any wrapper around them.

    Args:
        cfg: A runner's config.
        loaders: The data loaders to look at.

    Returns:
        Every dataset once, training first, also where val and test are the same.
    """
    found = []  # [name, key, config] of each
    for loader in loaders:
        datasets = leaves(cfg, loader)
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
        extra = cfg.get('extra_data_roots') or []
        extra = [extra] if isinstance(extra, str) else extra
        allow_outside = cfg.get('allow_outside_links', True)
        ignore_index = ignored_label(cfg, loaders)
        return [_load(*split, extra, allow_outside, ignore_index) for split in found]


def shared_images(splits: list[Split], contents: Iterable = ()) -> list[Problem]:
    """Images that are trained on as well as evaluated on.

    Args:
        splits: As by :func:`load_splits`.
        contents: Of all images of all splits, one after the other, what only images of the same
            content have in common; None for those that are not known. Without it paths alone are
            compared.

    Returns:
        A problem for each image of an evaluation that is also trained on.
    """
    trained, problems, contents = {}, [], iter(contents)
    real_folder = cache(osp.realpath)  # a file is one look, its folders one for all
    for split in splits:
        for info in split.infos:
            image = info['img_path']
            folder, file = osp.split(image)
            path = osp.join(real_folder(folder), file)
            keys = osp.realpath(path) if osp.islink(path) else path, next(contents, None)
            where, other = next((trained[key] for key in keys if key in trained), (None, None))
            if split.name.startswith('train'):
                trained.update((key, (split.name, image)) for key in keys if key)
            elif where:
                renamed = f' as {other}' if other != image else ''
                message = f'{image} is in {split.name} and also in {where}{renamed}.'
                problems.append(Problem(split.name, 'shared', image, message, info))
    return problems


def _load(
    name: str, key: str, cfg: dict, extra_roots: list[str], allow_outside: bool, ignore_index: int
) -> Split:
    kind = cfg['type']

    def none(problem, path, message):
        return Split(name, {}, [], [Problem(name, problem, path, message)], [])

    root = cfg.get('data_root') or _default_root(kind)
    pipeline, default = cfg.get('pipeline') or [], dict(backend_args=cfg.get('backend_args'))
    image_args = loader_arguments(pipeline, LoadImageFromFile, None if pipeline else default)
    unknown = None if image_args is None else default
    mask_args = loader_arguments(pipeline, LoadAnnotations, unknown)
    backends = {
        key: (default if args is None else args).get('backend_args')
        for key, args in (('img_path', image_args), ('seg_map_path', mask_args))
    }
    labels = any(builds_one_of(step, LABEL_LOADERS) for step in flat_steps(pipeline))
    if name == 'test' and pipeline and not labels:
        backends['seg_map_path'] = NOT_READ
    missing = [path for path in _paths(root, cfg, backends) if not osp.exists(path)]
    if missing:  # mmseg would list a folder in place of a missing list of images
        message = missing_data(kind, missing[0], root)
        message += f'; or set {key}.data_root to the folder that holds it.'
        return none(MISSING, missing[0], message)
    try:
        # not serialized, so that an empty one loads too
        dataset = DATASETS.build(dict(cfg, pipeline=[], lazy_init=True, serialize_data=False))
        if isinstance(dataset, BaseSegDataset):
            dataset.load_data_list = partial(checked_data_list, dataset, dataset.load_data_list)
        dataset.full_init()
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        if not all('img_path' in info for info in infos):
            raise TypeError("its annotations have no 'img_path'")
        if not dataset.metainfo.get('classes'):
            raise TypeError("its metainfo has no 'classes'")
    except (FileNotFoundError, AssertionError) as error:
        return none(MISSING, root, f'{kind} cannot list its images: {error}')
    except ValueError as error:  # of the list
        source = cfg.get('ann_file') or root
        return none('unreadable', source, f'{kind} cannot list its images: {error}')
    except (TypeError, AttributeError, KeyError) as error:  # of no kind that mmseg knows
        return none('not checked', root, f'{kind} cannot be checked: {error}.')

    named = [folder for folder in (dataset.data_root, *dataset.data_prefix.values()) if folder]
    roots = [*named, *extra_roots] if named else []
    missing, misplaced = check_locations(name, infos, backends, roots, allow_outside)
    problems = _list_problems(name, dataset, infos) + misplaced
    refused = {id(problem.info) for problem in misplaced}
    infos = [info for info in infos if id(info) not in refused]
    loaders = []
    asked = dict(num_classes=len(dataset.metainfo['classes']), ignore_index=ignore_index)
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
    return Split(name, dataset.metainfo, infos, problems, missing, *loaders, ignore_index)


def _list_problems(name: str, dataset: BaseDataset, infos: list[dict]) -> list[Problem]:
    """What is wrong with a list of images."""
    source = dataset.ann_file or dataset.data_prefix.get('img_path', '')
    found = []
    if isinstance(dataset, BaseSegDataset) and osp.isfile(source):
        blank = [str(i) for i, line in enumerate(read_lines(source), 1) if not line]
        if blank:
            message = (
                f'{source} has {len(blank)} blank lines, which are skipped: line '
                f'{", ".join(blank[:5])}{" and more" if len(blank) > 5 else ""}.'
            )
            found.append(Problem(name, 'blank lines', source, message))
    elif isinstance(dataset, BaseSegDataset) and not dataset.ann_file:
        found += check_folders(name, dataset, infos)
    if not infos:
        found.append(Problem(name, 'empty split', source, f'The split {source} is empty.'))
    for path, times in Counter(info['img_path'] for info in infos).items():
        if times > 1:
            message = f'{path} is listed {times} times in {source}.'
            found.append(Problem(name, 'doubled', path, message))
    return found


def _paths(root: str, cfg: dict, backends: dict[str, dict | None]) -> list[str]:
    """The local files and folders that a dataset's config names."""
    folders = (cfg.get('data_prefix') or {}).items()
    parts = [(part, backends.get(key)) for key, part in folders]
    parts = [('', backends['img_path']), (cfg.get('ann_file'), cfg.get('backend_args')), *parts]
    paths = [(osp.join(root, part) if part else root, args) for part, args in parts]
    return [path for path, args in paths if path and args is not NOT_READ and is_local(path, args)]


def _default_root(kind: str | type) -> str:
    """The ``data_root`` that a class takes where the config gives none."""
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    parameter = inspect.signature(kind).parameters.get('data_root') if kind else None
    return parameter.default if parameter and isinstance(parameter.default, str) else ''
