"""Load a mask, or say what is wrong with which file."""

import cv2
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from ..datasets.class_index import id_table
from ..datasets.reading import check_ids, check_size, read_mask


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """``LoadAnnotations`` that refuses what would train a model on wrong labels.

    The stock transform cuts an RGB mask or one of another size as it comes, and lets ids pass that
    are no class; what follows is an error without a file name, or none at all. The result is the
    same: palette indices or gray values, after ``reduce_zero_label`` and ``label_map``.

    For training and validation; inference removes ``LoadAnnotations``, by that name, from the test
    pipeline.

    Args:
        num_classes: Ids must be below it, or ``ignore_index``. A transform is not told the classes
            of its dataset: by default, None, ids are not checked.
        reduce_zero_label: As of ``LoadAnnotations``: that of the dataset, which alone decides.
        backend_args: Arguments of mmengine's file backend; by default the path tells which.
        imdecode_backend: 'pillow', or 'cv2': both give the ids of palette and gray masks here.
        ignore_index: Label of the pixels that do not count. By default 255, as in mmseg; our
            commands set it to that of the decode head. Above 255, for more classes than 8 bits
            hold, masks of 16 bits are read as they are; else their 65535 is taken for 255.

    Raises:
        ValueError: If ``imdecode_backend`` is another, ``reduce_zero_label`` not the dataset's, or
            the dataset leaves out some of more than 256 classes.
        BadSampleError: If the file is missing, empty, truncated, no image, neither palette nor
            gray, of another size than the image, or holds an id out of range.
            ``FaultTolerantDataset`` can skip such a sample.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        reduce_zero_label: bool | None = None,
        backend_args: dict | None = None,
        imdecode_backend: str = 'pillow',
        ignore_index: int = 255,
    ):
        super().__init__(backend_args=backend_args)
        if imdecode_backend not in ('pillow', 'cv2'):
            other = f'imdecode_backend={imdecode_backend!r} is for LoadAnnotations'
            raise ValueError(f'LoadCheckedAnnotations reads masks by Pillow; {other}.')
        self.num_classes = num_classes
        self.reduce_zero_label = reduce_zero_label
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map``, uint8 or uint16 (H, W), also named in ``seg_fields``."""
        given, path = results['reduce_zero_label'], results['seg_map_path']
        if self.reduce_zero_label not in (None, given):
            raise ValueError(
                f'LoadCheckedAnnotations has reduce_zero_label={self.reduce_zero_label} and its '
                f'dataset {given}: set it in the dataset alone.'
            )
        wide = self.ignore_index > 255
        labels = read_mask(path, self.backend_args, wide=wide)
        if 'ori_shape' in results:
            check_size(path, labels.shape, results['img_path'], results['ori_shape'])
        mapping = given, results.get('label_map')
        if wide and list((mapping[1] or {}).values()).count(255) > 1:
            raise ValueError(
                'The dataset leaves out classes and keeps more than 255: mmseg makes those that '
                'are left out class 255. Keep at most 255 classes, or all.'
            )
        ids, mapped = 1 << 8 * labels.itemsize, labels
        if any(mapping):  # most datasets need none, and on 2048x1024 pixels it takes 1 ms
            table = id_table(*mapping, ids, wide)
            mapped = cv2.LUT(labels, table) if ids == 256 else table[labels]
        if self.num_classes is not None and self._any_wrong(mapped):
            counts = np.bincount(labels.ravel(), minlength=ids)
            table = id_table(*mapping, ids, wide)
            check_ids(path, counts, (table >= self.num_classes) & (table != self.ignore_index))
        results['gt_seg_map'] = mapped
        results['seg_fields'].append('gt_seg_map')
        return results

    def _any_wrong(self, labels: np.ndarray) -> bool:
        if self.ignore_index != 255 or self.num_classes > 255:
            return bool(labels.max() >= self.num_classes)  # for the count to decide
        # a class minus num_classes wraps around, to above the bound, where 255 lands too
        return bool((labels - np.uint8(self.num_classes) < 255 - self.num_classes).any())

    def __repr__(self) -> str:
        names = 'num_classes', 'reduce_zero_label', 'backend_args', 'ignore_index'
        listed = ', '.join(f'{name}={getattr(self, name)}' for name in names)
        return f'{type(self).__name__}({listed})'
