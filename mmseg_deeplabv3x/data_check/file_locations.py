"""Where the files of a dataset really lie, and whether they are files."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator

from ..datasets.reading import BadSampleError, check_is_file
from .problem import Problem

OUTSIDE = 'outside'


def check_places(name: str, infos: list[dict], roots: Iterable[str]) -> list[Problem]:
    """Find what a link, ``..`` or an absolute name leads to outside of what the config names.

    The roots themselves may be links, as data roots often are: their owner made them. A link below
    them may have come with the data, and could bring any file of this machine into a picture. One
    look into each folder tells what in it is a link; only links are followed.

    Args:
        name: The split.
        infos: Annotation of each image.
        roots: Folders, or addresses, that the files may lie in; with none, all may.

    Returns:
        A problem for each image or mask that lies outside of all roots, or is a pipe, a
        device or a socket.
    """
    roots = [root if is_remote(root) else osp.realpath(root) for root in roots]
    folders, problems = {}, []
    for info in infos:
        for path in (info['img_path'], info.get('seg_map_path')):
            if path is None or is_remote(path):
                continue
            folder, file = osp.split(path)
            if folder not in folders:
                folders[folder] = _is_inside(osp.realpath(folder), roots), _no_plain_files(folder)
            inside, special = folders[folder]
            if not inside or file in special:
                problems += _look_closely(name, path, roots, info)
    return problems


def is_remote(path: str) -> bool:
    """Whether a path is an address of another file backend, such as s3://."""
    return re.match(r'[\w+.-]+://', path) is not None


def _look_closely(name: str, path: str, roots: list[str], info: dict) -> Iterator[Problem]:
    target = osp.realpath(path)
    if not _is_inside(target, roots):
        message = (
            f'{path} leads to {target}, outside of {roots[0]}: copy it there, or, if you trust it, '
            f'add to the config: extra_data_roots=[{osp.dirname(target)!r}].'
        )
        yield Problem(name, OUTSIDE, path, message, info)
        return
    try:
        check_is_file(path)
    except BadSampleError as error:
        yield Problem(name, error.kind, path, str(error), info)


def _is_inside(path: str, roots: list[str]) -> bool:
    return not roots or any(path == root or path.startswith(osp.join(root, '')) for root in roots)


def _no_plain_files(folder: str) -> set[str]:
    """Links, folders, pipes, ... in a folder, at no cost for each file."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_file(follow_symlinks=False)}
    except (OSError, ValueError):  # not there, or no name of a folder: what else looks says so
        return set()
