"""How well the outlines of a prediction meet those of the ground truth."""

import cv2
import numpy as np

RELATIVE_WIDTH = 0.02  # of the diagonal, the source's choice for COCO-like images


def boundary_areas(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of Boundary IoU (Cheng et al., CVPR 2021, https://arxiv.org/abs/2103.16562).

    Of each class only the pixels within a band inside its own outline count; the image's border is
    an outline, as in the source's code. Pixels without a class, not below ``num_classes``, count
    neither in ground truth nor in prediction, which the source, written for instances, does not
    know. Of ids (H, W); returns int64 (3, num_classes), as ``class_areas``.
    """
    width = max(1, round(RELATIVE_WIDTH * float(np.hypot(*labels.shape))))
    window = np.ones((3, 3), np.uint8)
    valid = labels < num_classes
    areas = np.zeros((3, num_classes), np.int64)
    for number in range(num_classes):
        bands = []
        for mask in (predictions == number, labels == number):
            if not mask.any():
                bands.append(mask)
                continue
            padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
            inner = cv2.erode(padded, window, iterations=width)[1:-1, 1:-1]
            bands.append(mask & (inner == 0) & valid)
        areas[:, number] = (bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum()
    return areas


def trimap(labels: np.ndarray, width: int) -> np.ndarray:
    """Find the pixels at most ``width`` pixels away from one with another label.

    Evaluated on this band alone, mIoU tells how well boundaries are met (Kohli, Ladicky, Torr:
    "Robust higher order potentials for enforcing label consistency", IJCV 2009). In PASCAL VOC a
    void border lies around objects: there the band is what lies around that border, as in the
    evaluations of the DeepLab papers. Void counts as a label of its own; leave its pixels out
    afterwards. Of the horizontal and the vertical distance the larger counts.
    """
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # outside the image is no label: by default OpenCV lets neither extreme come from there
    return cv2.dilate(labels, window) != cv2.erode(labels, window)
