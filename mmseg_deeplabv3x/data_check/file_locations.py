"""Where the files of a dataset really lie, and whether they are files."""

import itertools
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable

from mmengine.logging import print_log

from ..datasets.reading import BadSampleError, check_is_file, is_local
from .problem import MISSING, Problem

OUTSIDE = 'outside'


def check_locations(
    name: str,
    infos: list[dict],
    backends: dict[str, dict | None],
    roots: Iterable[str],
    allow_links: bool,
) -> tuple[list[Problem], list[Problem]]:
    """Find what does not exist, and what lies outside of the folders that the config names.

    A name in a list that leads out, by ``..`` or as an absolute one, is refused: the list may have
    come with the data, and could bring any file of this machine into a picture. Links are normal
    where people share a disk: one line says how many lead out, and where to; a config can forbid
    them. The roots themselves may be links in any case. Each folder is listed once, since a disk
    far away is slow to ask; only what is no plain file is looked at more closely.

    Args:
        name: The split.
        infos: Annotation of each image.
        backends: ``backend_args`` by which 'img_path' and 'seg_map_path' are loaded; what is not
            read from this machine's disks is left alone.
        roots: Folders that the files are expected in; with none, anywhere.
        allow_links: Whether links may lead elsewhere.

    Returns:
        A problem for each image or mask that is missing; and one for each that is a pipe, a device
        or a socket, or lies outside.
    """
    named = [osp.abspath(root) for root in roots if is_local(root)]
    roots = [osp.realpath(root) for root in named]
    folders, missing, misplaced, outside = {}, [], [], Counter()
    for info, key in itertools.product(infos, backends):
        path = info.get(key)
        if path is None or not is_local(path, backends[key]):
            continue
        folder, file = osp.split(path)
        if folder not in folders:
            folders[folder] = _is_inside(osp.realpath(folder), roots), *_list_folder(folder)
        inside, plain, others = folders[folder]
        if inside and file in plain:
            continue
        target = osp.realpath(path)
        leads_out = not _is_inside(target, roots)
        if leads_out and not (allow_links and _is_inside(osp.abspath(path), named)):
            message = (
                f'{path} leads to {target}, outside of {roots[0]}: copy it there, or, if you trust '
                f'it, add extra_data_roots=[{osp.dirname(target)!r}] to the config.'
            )
            misplaced.append(Problem(name, OUTSIDE, path, message, info))
        elif file not in plain and (file not in others or not osp.exists(path)):
            missing.append(Problem(name, MISSING, path, f'{path} does not exist.', info))
        else:
            outside.update([osp.dirname(target)] * leads_out)
            try:
                check_is_file(path)
            except BadSampleError as error:
                misplaced.append(Problem(name, error.kind, path, str(error), info))
    if outside:
        listed = ', '.join(f'{count} in {folder}' for folder, count in outside.most_common(3))
        more = f' and {len(outside) - 3} more folders' if len(outside) > 3 else ''
        message = f'{outside.total()} links of {name} lead out of {roots[0]}: {listed}{more}.'
        print_log(message, 'current')
    return missing, misplaced


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
