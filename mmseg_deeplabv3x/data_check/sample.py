"""One image and its mask."""

import numpy as np

from ..datasets.class_index import id_table
from ..datasets.reading import (
    BadSampleError,
    check_ids,
    check_size,
    is_wrong_id,
    read_image,
    read_mask,
)
from .problem import Problem
from .splits import Split


def check_sample(split: Split, info: dict) -> tuple[list[Problem], np.ndarray]:
    """Read an image and its mask, whole.

    Args:
        split: The split that it belongs to.
        info: Its annotation.

    Returns:
        At most one problem of the image and one of the mask; and the pixels of each class,
        (num_classes,), zeros where the mask is bad or there is none.
    """
    num_classes = len(split.metainfo['classes'])
    problems, image = [], None
    pixels = np.zeros(num_classes, np.int64)
    try:
        image = read_image(info['img_path'], split.backend_args)
    except BadSampleError as error:
        problems.append(Problem(split.name, error.kind, info['img_path'], str(error), info))
    mask = info.get('seg_map_path')
    if mask is None:
        return problems, pixels
    try:
        labels = read_mask(mask, split.backend_args)
        if image is not None:
            check_size(mask, labels.shape, info['img_path'], image.shape[:2])
        counts = np.bincount(labels.ravel(), minlength=256)
        table = id_table(info['reduce_zero_label'], info.get('label_map'))
        check_ids(mask, counts, is_wrong_id(table, num_classes))
        np.add.at(pixels, table[table < num_classes], counts[table < num_classes])
        if not pixels.any():
            raise BadSampleError(
                f'The mask {mask} has no class: all its pixels are ignored.', 'all ignored'
            )
    except BadSampleError as error:
        problems.append(Problem(split.name, error.kind, mask, str(error), info))
    return problems, pixels
