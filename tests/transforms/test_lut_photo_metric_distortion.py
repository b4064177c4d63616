import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_deeplabv3x.transforms import LUTPhotoMetricDistortion


def images():
    """Noise, which has every colour, and a dark and a bright ramp."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    return noise, noise // 16, 255 - noise // 16


@pytest.mark.parametrize(
    'arguments',
    [
        {},
        dict(brightness_delta=200, contrast_range=(0.1, 8), saturation_range=(0, 9), hue_delta=90),
    ],
)
def test_equals_mmsegs_on_the_same_random_numbers(arguments):
    ours = LUTPhotoMetricDistortion(**arguments)
    theirs = TRANSFORMS.build(dict(type='mmseg.PhotoMetricDistortion', **arguments))
    changed = 0
    for seed in range(100):
        for image in images():
            results, states = [], []
            for transform in (ours, theirs):
                np.random.seed(seed)
                results.append(transform(dict(img=image.copy()))['img'])
                states.append(np.random.get_state()[2])
            assert results[0].dtype == np.uint8
            assert np.array_equal(*results), seed
            assert states[0] == states[1], seed
            changed += not np.array_equal(results[0], image)
    assert changed > 200


def test_leaves_its_input_as_it_is():
    transform = LUTPhotoMetricDistortion()
    image = images()[0]
    before = image.copy()
    for seed in range(10):
        np.random.seed(seed)
        transform(dict(img=image))
    assert np.array_equal(image, before)


def test_takes_a_view():
    image = images()[0]
    for seed in range(10):
        results = []
        for part in (image[3:30, 5:50], image[3:30, 5:50].copy()):
            np.random.seed(seed)
            results.append(LUTPhotoMetricDistortion()(dict(img=part))['img'])
        assert np.array_equal(*results)


@pytest.mark.parametrize(
    ('image', 'found'),
    [
        (np.zeros((4, 5, 3), np.float32), r'float32 \(4, 5, 3\)'),
        (np.zeros((4, 5), np.uint8), r'uint8 \(4, 5\)'),
    ],
)
def test_refuses_what_no_table_of_256_fits(image, found):
    with pytest.raises(ValueError, match=f'needs a uint8 image of shape .* got {found}'):
        LUTPhotoMetricDistortion()(dict(img=image))


def converted(image, alpha, beta):
    return np.clip(image.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(('alpha', 'beta'), [(1, 20.7), (1, -20.7), (0.71, 0), (1.234, 0)])
def test_common_steps_need_no_table(alpha, beta, monkeypatch):
    image = images()[0]
    monkeypatch.delattr('cv2.LUT')
    for part in (image, image[..., 1]):
        result = LUTPhotoMetricDistortion().convert(part, alpha, beta)
        assert np.array_equal(result, converted(part, alpha, beta))


@pytest.mark.parametrize(('alpha', 'beta'), [(1.3, 0), (0.7, -90.5)])
def test_where_opencv_rounds_otherwise_a_table_is_right(alpha, beta):
    image = images()[0]
    result = LUTPhotoMetricDistortion().convert(image, alpha, beta)
    assert np.array_equal(result, converted(image, alpha, beta))
