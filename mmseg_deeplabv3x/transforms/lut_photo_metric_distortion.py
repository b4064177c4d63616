"""mmseg's photometric distortion by lookup tables."""

import math

import cv2
import mmcv
import numpy as np
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS

VALUES = np.arange(256, dtype=np.uint8)


@TRANSFORMS.register_module()
class LUTPhotoMetricDistortion(PhotoMetricDistortion):
    """mmseg's ``PhotoMetricDistortion``, faster, for 8-bit images.

    Every step maps the values of a channel one by one. Here this is computed for the 256 values
    that there are, and looked up for the pixels, or done by a quicker function of OpenCV's if that
    gives the same for all 256: the same result to the bit. Arguments and random numbers are the
    same too.

    Raises:
        ValueError: If the image is not of 8-bit BGR pixels.
    """

    def transform(self, results: dict) -> dict:
        """Distort ``img``, uint8 (H, W, 3) in BGR."""
        image = results['img']
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(
                'LUTPhotoMetricDistortion needs a uint8 image of shape (H, W, 3), got '
                f'{image.dtype} {image.shape}; use PhotoMetricDistortion.'
            )
        return super().transform(results)

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """``alpha * img + beta``, clipped and truncated to whole numbers; uint8 of any shape."""
        table = super().convert(VALUES, alpha, beta)
        if np.array_equal(_quick_convert(VALUES, alpha, beta), table):
            return _quick_convert(img, alpha, beta)
        return cv2.LUT(img, table)

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turn the hue of uint8 (H, W, 3) in BGR by up to ``hue_delta``, half of the times."""
        if not np.random.randint(2):
            return img
        turned = (VALUES.astype(int) + np.random.randint(-self.hue_delta, self.hue_delta)) % 180
        hsv = mmcv.bgr2hsv(img)
        hsv[:, :, 0] = cv2.LUT(hsv[:, :, 0], turned.astype(np.uint8))
        return mmcv.hsv2bgr(hsv)


def _quick_convert(values, alpha, beta):
    """``alpha * values + beta`` as good as OpenCV can: three to eight times as fast as a table."""
    rows = values.reshape(len(values), -1)  # a colour image's scalar would be one for each channel
    if alpha == 1:
        beta = math.floor(beta)  # a negative number is no byte: added, it takes six times as long
        result = cv2.subtract(rows, -beta) if beta < 0 else cv2.add(rows, beta)
    else:  # rounds, and takes the absolute value
        result = cv2.convertScaleAbs(rows, alpha=alpha, beta=beta - 0.4999)
    return result.reshape(values.shape)
