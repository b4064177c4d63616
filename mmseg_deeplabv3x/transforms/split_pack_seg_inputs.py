"""mmseg's packing, quicker and smaller."""

import cv2
import numpy as np
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from .byte_label_sample import ByteLabelSample


@TRANSFORMS.register_module()
class SplitPackSegInputs(PackSegInputs):
    """mmseg's ``PackSegInputs``, faster: the same tensors, smaller between processes.

    A network wants the colours as planes, (3, H, W), a file has them side by side, (H, W, 3). What
    OpenCV does in 0.03 ms at 513x513 takes Torch 0.4 ms: ``tools/benchmark.py pipeline``. What a
    worker hands over takes 1.1 MB in place of 2.9 (:class:`.byte_label_sample.ByteLabelSample`).
    """

    def transform(self, results: dict) -> dict:
        """Pack a sample.

        Args:
            results: As mmseg's ``PackSegInputs`` takes them.

        Returns:
            ``inputs``, a tensor (C, H, W), and ``data_samples``, a ``SegDataSample``.
        """
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
