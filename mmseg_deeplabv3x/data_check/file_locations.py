"""Where the files of a dataset really lie, and whether they are files."""

import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator

from ..datasets.reading import BadSampleError, check_is_file
from .problem import MISSING, Problem

OUTSIDE = 'outside'


def check_locations(
    name: str, infos: list[dict], roots: Iterable[str]
) -> tuple[list[Problem], list[Problem]]:
    """Find what does not exist, and what lies outside of the folders that the config names.

    A link, ``..`` or an absolute name leads out. The roots themselves may be links, as data roots
    often are: their owner made them. A link below them may have come with the data, and could bring
    any file of this machine into a picture. Each folder is listed once, since a disk far away is
    slow to ask; only what is no plain file is looked at more closely.

    Args:
        name: The split.
        infos: Annotation of each image.
        roots: Folders, or addresses, that the files may lie in; with none, all may.

    Returns:
        A problem for each image or mask that is missing; and one for each that lies outside of all
        roots, or is a pipe, a device or a socket.
    """
    roots = [root if is_remote(root) else osp.realpath(root) for root in roots]
    folders, missing, misplaced = {}, [], []
    for info in infos:
        for path in (info['img_path'], info.get('seg_map_path')):
            if path is None or is_remote(path):
                continue
            folder, file = osp.split(path)
            if folder not in folders:
                folders[folder] = _is_inside(osp.realpath(folder), roots), *_list_folder(folder)
            inside, plain, others = folders[folder]
            if not inside or file in others:
                misplaced += _look_closely(name, path, roots, info)
            elif file not in plain:
                missing.append(Problem(name, MISSING, path, f'{path} does not exist.', info))
    return missing, misplaced


def is_remote(path: str) -> bool:
    """Whether a path is an address of another file backend, such as s3://."""
    return re.match(r'[\w+.-]+://', path) is not None


def _look_closely(name: str, path: str, roots: list[str], info: dict) -> Iterator[Problem]:
    target = osp.realpath(path)
    if not _is_inside(target, roots):
        message = (
            f'{path} leads to {target}, outside of {roots[0]}: copy it there, or, if you trust it, '
            f'add extra_data_roots=[{osp.dirname(target)!r}] to the config.'
        )
        yield Problem(name, OUTSIDE, path, message, info)
        return
    try:
        check_is_file(path)
    except BadSampleError as error:
        yield Problem(name, error.kind, path, str(error), info)


def _is_inside(path: str, roots: list[str]) -> bool:
    return not roots or any(path == root or path.startswith(osp.join(root, '')) for root in roots)


def _list_folder(folder: str) -> tuple[set[str], set[str]]:
    """Names of the plain files in a folder; and of the links, folders, pipes, ..."""
    plain, others = set(), set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (plain if entry.is_file(follow_symlinks=False) else others).add(entry.name)
    except (OSError, ValueError):  # not there, or no name of a folder: all its files are missing
        pass
    return plain, others
