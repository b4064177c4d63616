import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS, TRANSFORMS

from mmseg_deeplabv3x.transforms import RandomNativeScale, RandomScaleCropFlip

# two axes, each off by 1/64 of a pixel at most, and rounding
BOUND = 2 * 255 / 64 + 1


def sample(image=None, height=61, width=90):
    rng = np.random.default_rng(0)
    if image is None:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
    small = rng.choice(np.uint8([0, 0, 0, 7, 20, 255]), (4, 5))
    labels = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return dict(img=image, gt_seg_map=labels, seg_fields=['gt_seg_map'])


def separate(crop_size, ratio_range=(0.5, 2.0), step=0.25, cat_max_ratio=1.0, flip_prob=0.5):
    """The steps that ours takes the place of."""
    crop = dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=cat_max_ratio)
    steps = [
        RandomNativeScale(ratio_range, step),
        TRANSFORMS.build(crop),
        TRANSFORMS.build(dict(type='mmseg.RandomFlip', prob=flip_prob)),
    ]

    def transform(results):
        for step in steps:
            results = step(results)
        return results

    return transform


def both(seed, results, **arguments):
    """Ours and the separate steps on the same random numbers, which both must use up alike."""
    outcomes = []
    for make in (RandomScaleCropFlip, separate):
        np.random.seed(seed)
        outcome = make(**arguments)(dict(results))
        outcomes.append((outcome, np.random.random()))
    (ours, ours_next), (theirs, theirs_next) = outcomes
    assert ours_next == theirs_next
    return ours, theirs


@pytest.mark.parametrize('step', [0.25, None])
@pytest.mark.parametrize('cat_max_ratio', [1.0, 0.6])
@pytest.mark.parametrize('crop_size', [(40, 50), (70, 30), (33, 200), (200, 200)])
def test_equals_the_separate_steps(step, cat_max_ratio, crop_size):
    for seed in range(25):
        ours, theirs = both(
            seed, sample(), step=step, cat_max_ratio=cat_max_ratio, crop_size=crop_size
        )
        assert np.array_equal(ours['gt_seg_map'], theirs['gt_seg_map']), seed
        differences = np.abs(ours['img'].astype(int) - theirs['img'])
        assert differences.max() <= BOUND, seed
        for key in theirs.keys() - {'img', 'gt_seg_map', 'swap_seg_labels'}:
            assert ours[key] == theirs[key], key


@pytest.mark.parametrize('prevalent', [0.55, 0.8, 0.97, 1.0])
@pytest.mark.parametrize('ignored', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('cat_max_ratio', [0.0, 0.3, 0.75, 0.9])
def test_draws_again_as_often_as_mmseg(prevalent, ignored, cat_max_ratio):
    """Where one label has most of the pixels, its count may decide; the others' may not."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        results = sample()
        labels = rng.choice(
            np.uint8([3, 7, 20]), (9, 12), p=[prevalent, *2 * [(1 - prevalent) / 2]]
        )
        labels[rng.random(labels.shape) < ignored] = 255
        labels = cv2.resize(labels, (90, 61), interpolation=cv2.INTER_NEAREST)
        ours, theirs = both(
            seed, dict(results, gt_seg_map=labels), cat_max_ratio=cat_max_ratio, crop_size=(30, 25)
        )
        assert np.array_equal(ours['gt_seg_map'], theirs['gt_seg_map'])


def test_a_prevalent_label_spares_the_histogram(monkeypatch):
    labels = np.zeros((61, 90), np.uint8)
    labels[:, 60:] = 3
    monkeypatch.delattr(cv2, 'calcHist')
    np.random.seed(0)
    for _ in range(5):
        RandomScaleCropFlip((61, 90), (1.0, 1.0), cat_max_ratio=0.75)(
            dict(sample(), gt_seg_map=labels)
        )


@pytest.mark.parametrize('step', [0.25, None])
def test_smooth_images_differ_by_rounding_only(step):
    rng = np.random.default_rng(0)
    smooth = cv2.resize(
        rng.integers(0, 256, (3, 4, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC
    )
    for seed in range(40):
        ours, theirs = both(seed, sample(smooth), step=step, crop_size=(60, 70))
        assert np.abs(ours['img'].astype(int) - theirs['img']).max() <= 1


@pytest.mark.parametrize('ratio', [0.05, 0.3, 1.0, 7.3, 40.0])
def test_any_scale(ratio):
    """On a checkerboard, where a shift by a pixel would be a difference of 255."""
    board = (255 * (np.indices((60, 90)).sum(0) % 2)).astype(np.uint8)
    for seed in range(10):
        ours, theirs = both(
            seed, sample(board), ratio_range=(ratio, ratio), step=None, crop_size=(50, 30)
        )
        assert ours['img'].shape == theirs['img'].shape
        assert np.abs(ours['img'].astype(int) - theirs['img']).max() <= BOUND
        assert np.array_equal(ours['gt_seg_map'], theirs['gt_seg_map'])


def test_resizes_little_more_than_the_crop(monkeypatch):
    """At sizes whose grids never meet exactly but at 0."""
    resize, pixels = cv2.resize, []

    def count(*args, **kwargs):
        result = resize(*args, **kwargs)
        pixels.append(result[..., 0].size)
        return result

    image = np.zeros((1021, 2039, 3), np.uint8)
    transform = RandomScaleCropFlip(200, (1.5, 2.0), step=None)
    np.random.seed(0)
    monkeypatch.setattr(cv2, 'resize', count)
    for _ in range(20):
        transform(dict(img=image))
    assert len(pixels) == 20
    assert np.mean(pixels) < 2 * 200**2 < 1021 * 2039 / 20


def test_every_field_of_labels():
    results = sample()
    results['gt_edge_map'] = results['gt_seg_map'] // 2
    results['seg_fields'].append('gt_edge_map')
    for seed in range(5):
        ours, theirs = both(seed, results, crop_size=(40, 50))
        assert np.array_equal(ours['gt_edge_map'], theirs['gt_edge_map'])


def test_takes_images_without_labels():
    image = RandomScaleCropFlip(30)(dict(img=sample()['img']))['img']
    assert image.shape == (30, 30, 3)


def test_padding_is_0_after_normalisation_and_255_in_the_labels():
    pack = TRANSFORMS.build(dict(type='mmseg.PackSegInputs'))
    preprocessor = MODELS.build(
        dict(
            type='mmseg.SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            size=(80, 100),
            pad_val=0,
            seg_pad_val=255,
        )
    )
    packed = pack(RandomScaleCropFlip((80, 100), (1.0, 1.0))(sample(height=61, width=90)))
    data = preprocessor(
        dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), training=True
    )
    labels = data['data_samples'][0].gt_sem_seg.data[0]
    padded = torch.ones(80, 100, dtype=torch.bool)
    padded[:61, :90] = False
    assert (data['inputs'][0][:, padded] == 0).all()
    assert (labels[padded] == 255).all()
    assert (labels[~padded] != 255).any()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(crop_size=0), 'crop_size must be a positive whole number, .* got 0'),
        (dict(crop_size=(5, 2.5)), r'crop_size must be .* got \(5, 2.5\)'),
        (dict(crop_size=(5, 5, 5)), r'crop_size must be .* got \(5, 5, 5\)'),
        (dict(crop_size=5, cat_max_ratio=75), 'cat_max_ratio must be between 0 and 1, got 75'),
        (dict(crop_size=5, flip_prob=-1), 'flip_prob must be between 0 and 1, got -1'),
        (dict(crop_size=5, ratio_range=(2, 1)), r'ratio_range must be .* got \(2, 1\)'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomScaleCropFlip(**arguments)


def test_the_smallest_crop_is_one_pixel():
    assert RandomScaleCropFlip(1, cat_max_ratio=0, flip_prob=1)(sample())['img'].shape == (1, 1, 3)


@pytest.mark.parametrize('labels', [None, np.zeros((61, 90), np.int64)])
def test_counting_needs_8_bit_labels(labels):
    with pytest.raises(ValueError, match='cat_max_ratio counts gt_seg_map, .* uint8, got'):
        RandomScaleCropFlip(30, cat_max_ratio=0.75)(dict(img=sample()['img'], gt_seg_map=labels))


@pytest.mark.parametrize(
    'arguments', [dict(crop_size=None), dict(crop_size='ab'), dict(crop_size=5, flip_prob='a')]
)
def test_an_argument_that_is_no_number_is_named(arguments):
    with pytest.raises(ValueError, match=f'^{list(arguments)[-1]} must be'):
        RandomScaleCropFlip(**arguments)


@pytest.mark.parametrize('stock, other', [
    (dict(prob=0.5), 'RandomFlip'),
    (dict(crop_size=4, direction='vertical'), 'RandomFlip'),
    (dict(scale=(2048, 512), ratio_range=(0.5, 2.0)), 'RandomResize'),
])  # fmt: skip
def test_what_only_a_stock_transform_does_is_named(stock, other):
    with pytest.raises(ValueError, match=f'use {other}'):
        RandomScaleCropFlip(**stock)


@pytest.mark.parametrize('ignore_index', [0, 7, 254, 255, -100, 1000])
def test_any_ignored_label_counts_as_in_the_stock_crop(ignore_index):
    rng = np.random.default_rng(0)
    transform = RandomScaleCropFlip(8, cat_max_ratio=0.75, ignore_index=ignore_index)
    for share in rng.random(60):
        labels = rng.choice(
            np.uint8([0, 7, 156]), (16, 16), p=[share, (1 - share) / 3, (1 - share) * 2 / 3]
        )
        kept, counts = np.unique(labels[labels != ignore_index], return_counts=True)
        varied = len(kept) > 1 and counts.max() / counts.sum() < 0.75
        assert transform._is_varied(labels) == varied
