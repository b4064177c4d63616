"""The pixels near object boundaries."""

import cv2
import numpy as np


def trimap(labels: np.ndarray, width: int) -> np.ndarray:
    """Finds the pixels at most ``width`` pixels away from one with another label.

    Evaluated on this band alone, mIoU tells how well boundaries are met (Kohli, Ladicky, Torr:
    "Robust higher order potentials for enforcing label consistency", IJCV 2009). In PASCAL VOC a
    void border lies around objects: there the band is what lies around that border, as in the
    evaluations of the DeepLab papers. Void counts as a label of its own; leave its pixels out
    afterwards.

    Args:
        labels: Ground truth with void, uint8 (H, W).
        width: In pixels; the larger of the horizontal and the vertical distance counts.

    Returns:
        Bool (H, W).
    """
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # outside the image is no label: by default OpenCV lets neither extreme come from there
    return cv2.dilate(labels, window) != cv2.erode(labels, window)
