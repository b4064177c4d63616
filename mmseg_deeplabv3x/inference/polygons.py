"""Outlines of regions as COCO writes them."""

from collections.abc import Iterator

import cv2
import numpy as np


def polygons(region: np.ndarray) -> list[dict]:
    """Outline every connected part of a region.

    The pixels whose centres lie in the polygons are exactly those of the region. COCO's polygons
    have no holes, so a part with holes is cut through them into several polygons.

    Args:
        region: bool (H, W).

    Returns:
        Of each part, as in a COCO json: 'segmentation', polygons [x0, y0, x1, y1, ...] in pixels
        from the upper left corner of the image; 'area' in pixels; 'bbox' [x, y, width, height];
        'iscrowd' 0.
    """
    count, parts, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    found = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        part = np.uint8(parts[y : y + height, x : x + width] == number)
        outlines = [(outline + (x, y)).ravel().tolist() for outline in _outlines(part)]
        found.append(dict(segmentation=outlines, area=area, bbox=[x, y, width, height], iscrowd=0))
    return found


def _outlines(part: np.ndarray) -> Iterator[np.ndarray]:
    """Polygons, (points, 2) each, of a part, uint8 (H, W) of 0 and 1."""
    # twice as large, an outline runs between the centres of pixels and never through them
    large = part.repeat(2, 0).repeat(2, 1)
    rings, tree = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is None:
        return
    holes = [ring for ring, (_, _, _, parent) in zip(rings, tree[0]) if parent >= 0]
    if holes:
        cut = int(holes[0][:, 0, 0].mean()) // 2 + 1
        for columns in (slice(0, cut), slice(cut, None)):
            side = np.zeros_like(part)
            side[:, columns] = part[:, columns]
            yield from _outlines(side)
        return
    for ring in rings:
        yield (ring[:, 0] + 0.5) / 2
