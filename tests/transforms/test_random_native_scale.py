import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_deeplabv3x.transforms import RandomNativeScale


def sample(height=40, width=60):
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 256, (height, width, 3), np.uint8),
        gt_seg_map=rng.choice(np.uint8([0, 7, 20, 255]), (height, width)),
        seg_fields=['gt_seg_map'],
    )


def factors(transform, count=300):
    np.random.seed(0)
    return [transform(sample())['img'].shape[0] / 40 for _ in range(count)]


def test_draws_every_step_of_the_paper_and_nothing_else():
    found, counts = np.unique(factors(RandomNativeScale()), return_counts=True)
    assert found.tolist() == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert counts.min() > 300 / 7 / 2  # uniform: each near 43


def test_no_step_draws_from_all_the_range():
    found = factors(RandomNativeScale(ratio_range=(0.5, 2.0), step=None))
    assert 0.5 <= min(found) < 0.6 and 1.9 < max(found) <= 2.0
    assert len(set(found)) > 30


def test_size_is_the_images_own_times_the_factor():
    for height, width in ((40, 60), (61, 33)):
        results = RandomNativeScale((1.5, 1.5))(sample(height, width))
        assert np.allclose(results['img'].shape[:2], (1.5 * height, 1.5 * width), atol=0.5)


def test_keys_are_those_of_the_framework():
    ours = RandomNativeScale((1.5, 1.5))(sample())
    theirs = TRANSFORMS.build(dict(type='mmseg.Resize', scale=(90, 60)))(sample())
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert np.array_equal(ours[key], theirs[key]), key


def test_labels_stay_labels():
    results = RandomNativeScale((0.75, 1.25))(sample())
    assert results['gt_seg_map'].shape == results['img'].shape[:2]
    assert set(np.unique(results['gt_seg_map'])) <= {0, 7, 20, 255}


def test_numpys_global_seed_decides():
    transform = RandomNativeScale(step=None)
    assert factors(transform, 10) == factors(transform, 10)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(ratio_range=(2.0, 0.5)), r'ratio_range must be .* got \(2.0, 0.5\)'),
        (dict(ratio_range=(0.0, 1.0)), r'ratio_range must be .* got \(0.0, 1.0\)'),
        (dict(ratio_range=(0.5,)), r'ratio_range must be two factors .* got \(0.5,\)'),
        (dict(step=0), 'step must be positive, or None for any factor, got 0'),
        (dict(step=0.4), 'step must divide the range from 0.5 to 2.0, got 0.4'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomNativeScale(**arguments)


@pytest.mark.parametrize(
    'arguments', [dict(ratio_range=2), dict(ratio_range=('a', 2)), dict(step='a'), dict(step=[1])]
)
def test_an_argument_that_is_no_number_is_named(arguments):
    with pytest.raises(ValueError, match=f'^{next(iter(arguments))} must be'):
        RandomNativeScale(**arguments)


@pytest.mark.parametrize('stock', [dict(scale=(2048, 512)), dict(keep_ratio=False)])
def test_what_only_the_stock_transform_does_is_named(stock):
    with pytest.raises(ValueError, match=f'{list(stock)[0]}=.*use RandomResize'):
        RandomNativeScale(ratio_range=(0.5, 2.0), **stock)
    RandomNativeScale(ratio_range=(0.5, 2.0), keep_ratio=True)
