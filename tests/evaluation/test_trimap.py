import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_deeplabv3x.evaluation.trimap import trimap


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_pixels_with_another_label_within_the_width(seed, width):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.uint8([0, 0, 0, 0, 0, 0, 7, 255]), (9, 12))
    expected = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(labels.shape):
        near = labels[max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1]
        expected[y, x] = (near != labels[y, x]).any()
    assert np.array_equal(trimap(labels, width), expected)


def test_one_label_has_no_boundary():
    assert not trimap(np.full((5, 5), 255, np.uint8), 3).any()
    assert not trimap(np.zeros((5, 5), np.uint8), 3).any()
