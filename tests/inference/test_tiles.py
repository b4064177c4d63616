from __future__ import annotations

import numpy as np
import pytest

from mmseg_deeplabv3x.inference.tiles import tiles


@pytest.mark.parametrize('height', [1, 30, 33, 34, 100])
@pytest.mark.parametrize('width', [1, 33, 97])
@pytest.mark.parametrize('crop,stride', [(33, 33), (33, 20), (33, 1), (200, 7)])
def test_every_pixel_is_kept_once_from_a_tile_that_holds_it(height, width, crop, stride):
    kept = np.zeros((height, width), int)
    for tile, inner in tiles(height, width, crop, stride):
        kept[inner] += 1
        for size, place, part in zip((height, width), tile, inner):
            assert place.stop - place.start == min(crop, size)
            assert 0 <= place.start <= part.start < part.stop <= place.stop <= size
    assert (kept == 1).all()


def test_a_pixel_is_kept_from_the_tile_in_which_it_is_farthest_from_the_border():
    length, crop = 100, 40
    found = list(tiles(1, length, crop, 25))
    margins = np.full((len(found), length), -1)
    for margin, ((_, tile), _) in zip(margins, found):
        for x in range(tile.start, tile.stop):
            # at the border of the image nothing is cut away
            left = x - tile.start if tile.start else length
            right = tile.stop - 1 - x if tile.stop < length else length
            margin[x] = min(left, right)
    for margin, (_, (_, inner)) in zip(margins, found):
        assert (margin[inner] >= margins.max(0)[inner] - 1).all()  # of a tie, either one


@pytest.mark.parametrize('stride', [0, 34])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(ValueError, match=f'from 1 to their size 33, but got {stride}'):
        list(tiles(100, 100, 33, stride))
