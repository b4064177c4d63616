"""What no single file shows."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmengine.fileio import list_dir_or_file
from mmseg.datasets import BaseSegDataset

from ..datasets.lists import first_few
from .problem import Problem

_SUFFIXES = {'.bmp', '.jp2', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp'}


def check_labels(
    name: str, classes: Sequence[str], pixels: np.ndarray, ignored: int, complete: bool = True
) -> list[Problem]:
    """Find masks that together cannot teach, or score, all classes.

    Args:
        name: Of the splits that are used together.
        classes: Names.
        pixels: Of each class in all masks that were read, (num_classes,).
        ignored: Pixels that do not count in them.
        complete: Whether all masks were read.

    Returns:
        At most one problem.
    """
    present = [label for label, count in zip(classes, pixels) if count]
    absent = [label for label, count in zip(classes, pixels) if not count]
    if not present and ignored:
        message = f'All pixels of all masks of {name} that were read are ignored.'
        return [Problem(name, 'nothing labelled', name, message)]
    if len(present) == 1 and absent:
        beside = ', and pixels that are ignored: where these should be a class, change their id'
        message = (
            f'The masks of {name} that were read hold one class alone, {present[0]}'
            f'{beside if ignored else ""}. All predictions of {present[0]} would be right.'
        )
        return [Problem(name, 'one class', name, message)]
    if present and absent and complete:
        message = f'No mask of {name} has a pixel of {first_few(absent)}.'
        return [Problem(name, 'absent class', name, message)]
    return []


def check_folders(name: str, dataset: BaseSegDataset, infos: list[dict]) -> list[Problem]:
    """Find what lies in the folders of a dataset and belongs to no image that it lists.

    Args:
        name: The split.
        dataset: One that lists folders, by suffix.
        infos: Annotation of each image.

    Returns:
        Problems, one for all images of another suffix and one for all masks without an image.
    """
    folders, found = dataset.data_prefix, []
    images, masks = folders.get('img_path') or '', folders.get('seg_map_path') or ''
    wanted = osp.splitext(f'x{dataset.img_suffix}')[1]
    others = Counter(
        osp.splitext(file)[1]
        for file in _files(images, dataset)
        if images != masks or not file.endswith(dataset.seg_map_suffix)
    )
    others = {
        suffix: n
        for suffix, n in others.items()
        if suffix != wanted and suffix.lower() in _SUFFIXES
    }
    if others:
        listed = ', '.join(f'{count} {suffix}' for suffix, count in others.items())
        message = (
            f'{images} holds images that are not listed, since img_suffix is '
            f'{dataset.img_suffix!r}: {listed}.'
        )
        found.append(Problem(name, 'other suffix', images, message))
    used = {info.get('seg_map_path') for info in infos}
    unused = [
        file
        for file in (_files(masks, dataset) if masks and images != masks else ())
        if file.endswith(dataset.seg_map_suffix) and osp.join(masks, file) not in used
    ]
    if unused:
        message = f'{masks} holds masks without an image: {first_few(sorted(unused))}.'
        found.append(Problem(name, 'no image', masks, message))
    return found


def _files(folder: str, dataset: BaseSegDataset) -> list[str]:
    arguments = dict(list_dir=False, recursive=True, backend_args=dataset.backend_args)
    return list(list_dir_or_file(folder, **arguments))
