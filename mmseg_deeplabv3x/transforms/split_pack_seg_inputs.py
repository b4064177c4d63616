"""mmseg's packing, quicker and smaller."""

import cv2
import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample


@TRANSFORMS.register_module()
class SplitPackSegInputs(PackSegInputs):
    """mmseg's ``PackSegInputs``, faster: the same tensors, smaller between processes.

    A network wants the colours as planes, (3, H, W), a file has them side by side, (H, W, 3). What
    OpenCV does in 0.03 ms at 513x513 takes Torch 0.4 ms: ``tools/benchmark.py pipeline``. What a
    worker hands over takes 1.1 MB in place of 2.9 (``ByteLabelSample``).
    """

    def transform(self, results: dict) -> dict:
        """Pack a sample: ``inputs``, a tensor (C, H, W), and ``data_samples``."""
        image = results.get('img')
        if getattr(image, 'ndim', 0) == 3 and image.flags.c_contiguous and _is_split(image):
            planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
            cv2.split(image, list(planes))
            results = dict(results, img=planes.transpose(1, 2, 0))
        packed = super().transform(results)
        sample = ByteLabelSample()
        sample.__dict__.update(packed['data_samples'].__dict__)
        return dict(packed, data_samples=sample)


def _is_split(image: np.ndarray) -> bool:
    """Whether OpenCV splits it right: of more than 128 channels it makes one, of int64 an error."""
    return image.shape[2] <= 4 and image.dtype in (np.uint8, np.float32)


class ByteLabelSample(SegDataSample):
    """A ``SegDataSample`` whose labels are bytes while they are pickled.

    mmseg packs labels as int64, the type that losses want: of the 2.9 MB that a crop of 513x513
    takes in the memory shared with a loader's worker, 2.1 are zeros. Pickled, ids from 0 to 255
    take an eighth; the process that unpickles them has int64 again. Others travel as they are.
    """

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        labels = state.get('_gt_sem_seg')
        if labels is not None and _are_bytes(labels.data):
            state['_gt_sem_seg'] = labels.metainfo, labels.data.to(torch.uint8)
        return state

    def __setstate__(self, state: dict) -> None:
        labels = state.get('_gt_sem_seg')
        if isinstance(labels, tuple):
            state = dict(state, _gt_sem_seg=PixelData(metainfo=labels[0], data=labels[1].long()))
        self.__dict__.update(state)


def _are_bytes(labels):
    if labels.dtype != torch.int64 or labels.device.type != 'cpu' or not labels.numel():
        return False
    lowest, highest = labels.aminmax()
    return lowest >= 0 and highest <= 255
