"""mmseg's photometric distortion by lookup tables."""

from __future__ import annotations

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
    that there are, and looked up for the pixels: the same result to the bit. Arguments and random
    numbers are the same too.

    Raises:
        ValueError: If the image is not of 8-bit BGR pixels.
    """

    def transform(self, results: dict) -> dict:
        """Distort the image.

        Args:
            results: With ``img`` (H, W, 3), uint8, BGR.

        Returns:
            The same, with a distorted ``img``.
        """
        image = results['img']
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(
                'LUTPhotoMetricDistortion needs an uint8 image of shape (H, W, 3), got '
                f'{image.dtype} {image.shape}; use PhotoMetricDistortion.'
            )
        return super().transform(results)

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """``alpha * img + beta``, clipped and truncated to whole numbers.

        Args:
            img: Any shape, uint8.
            alpha: Factor.
            beta: Summand.

        Returns:
            A new array, uint8.
        """
        return cv2.LUT(img, super().convert(VALUES, alpha, beta))

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turn the hue by up to ``hue_delta``, half of the times.

        Args:
            img: (H, W, 3), uint8, BGR.

        Returns:
            The same shape and kind.
        """
        if not np.random.randint(2):
            return img
        turned = (VALUES.astype(int) + np.random.randint(-self.hue_delta, self.hue_delta)) % 180
        hsv = mmcv.bgr2hsv(img)
        hsv[:, :, 0] = cv2.LUT(hsv[:, :, 0], turned.astype(np.uint8))
        return mmcv.hsv2bgr(hsv)
