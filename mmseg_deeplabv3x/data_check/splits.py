"""The datasets of a config, and what is wrong with their lists."""

import os.path as osp
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..datasets.how_to_get import missing_data
from ..datasets.lists import checked_data_list, read_lines
from .file_locations import check_locations, is_remote
from .problem import MISSING, Problem

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class Split(NamedTuple):
    """One dataset of a config.

    Attributes:
        name: The loaders that read it, such as 'train' or 'val, test'; with a number where a
            loader reads several.
        metainfo: Classes and palette.
        infos: Annotation of each image, as mmseg's transforms get it; without those whose files
            lie outside of the data root or are none.
        problems: What is wrong with the list of images, and files that lie outside or are none.
        missing: Local images and masks that do not exist.
        backend_args: Of mmengine's file backend.
    """

    name: str
    metainfo: dict
    infos: list[dict]
    problems: list[Problem]
    missing: list[Problem]
    backend_args: dict | None


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
        leaves = list(_leaves((cfg.get(loader) or {}).get('dataset'), f'{loader}.dataset'))
        for i, (key, leaf) in enumerate(leaves):
            name = loader.replace('_dataloader', '') + (f'[{i}]' if len(leaves) > 1 else '')
            leaf = dict(leaf, pipeline=[])
            for known in found:
                if known[2] == leaf and not known[0].startswith('train'):
                    known[0] += f', {name}'
                    break
            else:
                found.append([name, key, leaf])
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmseg'):
        extra = cfg.get('extra_data_roots') or []
        extra = [extra] if isinstance(extra, str) else extra
        return [_load(*split, extra) for split in found]


def shared_images(splits: list[Split]) -> list[Problem]:
    """Images that are trained on as well as evaluated on.

    Args:
        splits: As by :func:`load_splits`.

    Returns:
        A problem for each image of an evaluation that is also trained on.
    """
    trained, problems = {}, []
    for split in splits:
        for info in split.infos:
            image = info['img_path']
            path = osp.realpath(image)
            if split.name.startswith('train'):
                trained[path] = split.name
            elif path in trained:
                message = f'{image} is in {split.name} and also in {trained[path]}.'
                problems.append(Problem(split.name, 'shared', image, message, info))
    return problems


def _leaves(cfg: dict | None, key: str) -> Iterator[tuple[str, dict]]:
    """Configs of datasets inside any wrappers, with their dotted keys."""
    if not cfg:
        return
    if cfg.get('dataset'):
        yield from _leaves(cfg['dataset'], f'{key}.dataset')
    for i, dataset in enumerate(cfg.get('datasets') or []):
        yield from _leaves(dataset, f'{key}.datasets[{i}]')
    if not cfg.get('dataset') and not cfg.get('datasets'):
        yield key, cfg


def _load(name: str, key: str, cfg: dict, extra_roots: list[str]) -> Split:
    kind = cfg['type']

    def none(problem, path, message):
        return Split(name, {}, [], [Problem(name, problem, path, message)], [], None)

    root = cfg.get('data_root') or ''
    missing = [path for path in _paths(root, cfg) if not osp.exists(path)]
    if missing:  # mmseg would list a folder in place of a missing list of images
        message = missing_data(kind, missing[0], root)
        message += f'; or set {key}.data_root to the folder that holds it.'
        return none(MISSING, missing[0], message)
    try:
        # not serialized, so that an empty one loads too
        dataset = DATASETS.build(dict(cfg, lazy_init=True, serialize_data=False))
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
    except (TypeError, AttributeError) as error:  # of no kind that mmseg knows
        return none('not checked', root, f'{kind} cannot be checked: {error}.')

    named = [folder for folder in (dataset.data_root, *dataset.data_prefix.values()) if folder]
    roots = [*named, *extra_roots] if named else []
    missing, misplaced = check_locations(name, infos, roots)
    problems = _list_problems(name, dataset, infos) + misplaced
    refused = {id(problem.info) for problem in misplaced}
    infos = [info for info in infos if id(info) not in refused]
    return Split(name, dataset.metainfo, infos, problems, missing, dataset.backend_args)


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
    if not infos:
        found.append(Problem(name, 'empty split', source, f'The split {source} is empty.'))
    for path, times in Counter(info['img_path'] for info in infos).items():
        if times > 1:
            message = f'{path} is listed {times} times in {source}.'
            found.append(Problem(name, 'doubled', path, message))
    return found


def _paths(root: str, cfg: dict) -> list[str]:
    """The local files and folders that a dataset's config names."""
    parts = [cfg.get('ann_file'), *(cfg.get('data_prefix') or {}).values()]
    paths = [root, *(osp.join(root, part) for part in parts if part)]
    return [path for path in paths if path and not is_remote(path)]
