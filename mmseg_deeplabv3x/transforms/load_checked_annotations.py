"""Load a mask, or say what is wrong with which file."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..datasets.class_index import id_table
from ..datasets.reading import IGNORED, check_ids, check_size, is_wrong_id, read_mask


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(BaseTransform):
    """``LoadAnnotations`` that refuses what would train a model on wrong labels.

    The stock transform cuts an RGB mask or one of another size as it comes, and lets ids pass that
    are no class; what follows is an error without a file name, or none at all. The result is the
    same: palette indices or gray values, after ``reduce_zero_label`` and ``label_map``.

    For training and validation; inference removes ``LoadAnnotations``, by that name, from the test
    pipeline.

    Args:
        num_classes: Ids must be below it, or 255. A transform is not told the classes of its
            dataset: by default, None, ids are not checked.
        backend_args: Arguments of mmengine's file backend; by default the path tells which.

    Raises:
        BadSampleError: If the file is missing, empty, truncated, no image, neither palette nor
            gray, of another size than the image, or holds an id out of range.
            ``FaultTolerantDataset`` can skip such a sample.
    """

    def __init__(self, num_classes: int | None = None, backend_args: dict | None = None):
        self.num_classes = num_classes
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the mask.

        Args:
            results: With ``seg_map_path``, ``reduce_zero_label``, ``label_map``, ``seg_fields``
                and, where the image is loaded, ``img_path`` and ``ori_shape``, (H, W).

        Returns:
            The same, with ``gt_seg_map``, uint8 (H, W), also named in ``seg_fields``.
        """
        path = results['seg_map_path']
        labels = read_mask(path, self.backend_args)
        if 'ori_shape' in results:
            check_size(path, labels.shape, results['img_path'], results['ori_shape'])
        mapping = results['reduce_zero_label'], results.get('label_map')
        # most datasets need no mapping, and on 2048x1024 pixels it takes 1 ms
        mapped = cv2.LUT(labels, id_table(*mapping)) if any(mapping) else labels
        if self.num_classes is not None and self._any_wrong(mapped):
            counts = np.bincount(labels.ravel(), minlength=256)
            check_ids(path, counts, is_wrong_id(id_table(*mapping), self.num_classes))
        results['gt_seg_map'] = mapped
        results['seg_fields'].append('gt_seg_map')
        return results

    def _any_wrong(self, labels: np.ndarray) -> bool:
        # a class minus num_classes wraps around, to above the bound, where 255 lands too
        return bool((labels - np.uint8(self.num_classes) < IGNORED - self.num_classes).any())

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(num_classes={self.num_classes}, '
            f'backend_args={self.backend_args})'
        )
