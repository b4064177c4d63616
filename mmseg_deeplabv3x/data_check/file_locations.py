"""What the list of a dataset's images says, and where its files really lie."""

import itertools
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable

from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from ..datasets.lists import first_few, read_lines
from ..datasets.reading import BadSampleError, check_is_file, is_local
from .problem import MISSING, Problem

OUTSIDE = 'outside'
_SUFFIXES = {'.bmp', '.jp2', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp'}


def check_locations(
    name: str, infos: list[dict], backends: dict, roots: Iterable[str], allow_links: bool
) -> list[Problem]:
    """Find what does not exist, is no file, or lies outside of the folders that the config names.

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
    """
    named = [osp.abspath(root) for root in roots if is_local(root)]
    roots = [osp.realpath(root) for root in named]
    plain, problems, outside = {}, [], Counter()
    for info, key in itertools.product(infos, backends):
        path = info.get(key)
        if path is None or not is_local(path, backends[key]):
            continue
        folder, file = osp.split(path)
        if folder not in plain:
            plain[folder] = _plain_files(folder) if _is_inside(osp.realpath(folder), roots) else ()
        if file in plain[folder]:
            continue
        target = osp.realpath(path)
        leads_out = not _is_inside(target, roots)
        if leads_out and not (allow_links and _is_inside(osp.abspath(path), named)):
            message = (
                f'{path} leads to {target}, outside of {roots[0]}: copy it there, or, if you trust '
                f'it, add extra_data_roots=[{osp.dirname(target)!r}] to the config.'
            )
            problems.append(Problem(name, OUTSIDE, path, message, info))
        elif not osp.exists(path):
            problems.append(Problem(name, MISSING, path, f'{path} does not exist.', info))
        else:
            outside.update([osp.dirname(target)] * leads_out)
            try:
                check_is_file(path)
            except BadSampleError as error:
                problems.append(Problem(name, error.kind, path, str(error), info))
    if outside:
        listed = first_few(f'{count} in {folder}' for folder, count in outside.most_common())
        message = f'{outside.total()} links of {name} lead out of {roots[0]}: {listed}.'
        print_log(message, 'current')
    return problems


def _is_inside(path: str, roots: list[str]) -> bool:
    return not roots or any(f'{path}/'.startswith(osp.join(root, '')) for root in roots)


def _plain_files(folder: str) -> set[str]:
    """Names of the files in a folder that are no links."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except (OSError, ValueError):  # not there, or no name of a folder: all its files are missing
        return set()


def check_list(name: str, dataset: BaseDataset, infos: list[dict]) -> list[Problem]:
    """Find what the list of images of a split, with these annotations, says in vain or twice."""
    source = dataset.ann_file or dataset.data_prefix.get('img_path', '')
    found = []
    if isinstance(dataset, BaseSegDataset) and osp.isfile(source):
        blank = [i for i, line in enumerate(read_lines(source), 1) if not line]
        if blank:
            lines = first_few(map(str, blank), 5)
            message = f'{source} has {len(blank)} blank lines, which are skipped: line {lines}.'
            found.append(Problem(name, 'blank lines', source, message))
    elif isinstance(dataset, BaseSegDataset) and not dataset.ann_file:
        found += _check_folders(name, dataset, infos)
    if not infos:
        found.append(Problem(name, 'empty split', source, f'The split {source} is empty.'))
    for path, times in Counter(info['img_path'] for info in infos).items():
        if times > 1:
            message = f'{path} is listed {times} times in {source}.'
            found.append(Problem(name, 'doubled', path, message))
    return found


def _check_folders(name: str, dataset: BaseSegDataset, infos: list[dict]) -> list[Problem]:
    """Find what lies in the folders of a dataset and belongs to no image that it lists."""

    def files(folder):
        arguments = dict(list_dir=False, recursive=True, backend_args=dataset.backend_args)
        return list_dir_or_file(folder, **arguments) if folder else ()

    images, masks = (dataset.data_prefix.get(key) for key in ('img_path', 'seg_map_path'))
    together, found = images == masks, []
    known = {'', osp.splitext(f'x{dataset.img_suffix}')[1]}
    others = Counter(
        osp.splitext(file)[1]
        for file in files(images)
        if not (together and file.endswith(dataset.seg_map_suffix))
    )
    listed = [f'{n} {s}' for s, n in others.items() if s not in known and s.lower() in _SUFFIXES]
    if listed:
        message = (
            f'{images} holds images that are not listed, since img_suffix is '
            f'{dataset.img_suffix!r}: {", ".join(listed)}.'
        )
        found.append(Problem(name, 'other suffix', images, message))
    used = {info.get('seg_map_path') for info in infos}
    unused = [
        file
        for file in files(None if together else masks)
        if file.endswith(dataset.seg_map_suffix) and osp.join(masks, file) not in used
    ]
    if unused:
        message = f'{masks} holds masks without an image: {first_few(sorted(unused))}.'
        found.append(Problem(name, 'no image', masks, message))
    return found
