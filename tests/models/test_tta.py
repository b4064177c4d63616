"""RunningMeanTTAModel: the mean of the probabilities of all views, without keeping them."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample
from PIL import Image

SCALES, SIZE = (0.5, 1.0, 1.75), (71, 90)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in SCALES],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='PackSegInputs')],
        ],
    ),
]


@pytest.fixture
def tta(build):
    def tta(mode='whole', num_classes=5, **head):
        slide = dict(crop_size=(65, 65), stride=(40, 40)) if mode == 'slide' else {}
        return build(
            type='RunningMeanTTAModel',
            module=dict(
                type='DeepLabV3',
                output_stride=8,
                data_preprocessor=dict(
                    type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3
                ),
                backbone=dict(type='AtrousResNet', depth=18, base_channels=8),
                decode_head=dict(
                    type='ImagePoolASPPHead',
                    in_channels=64,
                    channels=16,
                    num_classes=num_classes,
                    **head,
                ),
                train_cfg={},
                test_cfg=dict(mode=mode, **slide),
            ),
        )

    return tta


@pytest.fixture
def batch(tmp_path):
    """The views of two images, as the runner's data loader gives them."""
    pipeline, rng = Compose(PIPELINE), np.random.default_rng(0)
    views = []
    for i in range(2):
        path = tmp_path / f'{i}.png'
        small = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(small).resize(SIZE[::-1], Image.BICUBIC).save(path)
        views.append(pipeline(dict(img_path=str(path), seg_fields=[])))
    return pseudo_collate(views)


def naive_mean(model, batch):
    """Mean in float64 of the probabilities of each view, its flip undone by hand."""
    model = model.double()
    probabilities = []
    for inputs, samples in zip(batch['inputs'], batch['data_samples']):
        images = (torch.stack(inputs).double() - 127) / 60
        meta = samples[0].metainfo
        assert meta['flip'] in (True, False)
        with torch.no_grad():
            logits = model.inference(images, [dict(meta, ori_shape=SIZE)] * len(images))
        if meta['flip']:
            logits = logits[..., torch.arange(logits.shape[-1] - 1, -1, -1)]
        logits = F.interpolate(logits, SIZE, mode='bilinear', align_corners=True)
        exponentials = logits.exp()
        probabilities.append(exponentials / exponentials.sum(1, keepdim=True))
    assert len(probabilities) == 2 * len(SCALES)
    return torch.stack(probabilities).mean(0)


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_equals_the_naive_mean_in_float64(tta, batch, mode):
    model = tta(mode)
    results = model.test_step(batch)
    expected = naive_mean(model.module, batch)
    assert len(results) == 2
    for result, mean in zip(results, expected):
        assert result.seg_logits.data.shape == (5, *SIZE)
        assert (result.seg_logits.data - mean).abs().max() < 1e-5
        assert torch.equal(result.pred_sem_seg.data, result.seg_logits.data.argmax(0, True))


def test_equals_mmsegs_model_which_takes_one_image(build, tta, batch):
    single = {key: [view[:1] for view in views] for key, views in batch.items()}
    model = tta()
    stock = build(type='SegTTAModel', module=model.module)
    with torch.no_grad():
        theirs = stock.test_step(single)[0].pred_sem_seg.data
    assert torch.equal(model.test_step(single)[0].pred_sem_seg.data.squeeze(0), theirs.squeeze(0))


def test_no_view_outlives_its_addition_to_the_sum(tta, batch, monkeypatch):
    model, scores, alive = tta(), [], []
    predict = model.module.test_step

    def watched(view):
        gc.collect()
        alive.append(sum(ref() is not None for ref in scores))
        samples = predict(view)
        scores.extend(weakref.ref(sample.seg_logits.data) for sample in samples)
        return samples

    monkeypatch.setattr(model.module, 'test_step', watched)
    model.test_step(batch)
    assert len(scores) == 2 * 2 * len(SCALES)
    assert max(alive) == 0


def test_one_output_channel_is_a_mean_of_sigmoids(tta, batch):
    model = tta(num_classes=2, out_channels=1, threshold=0.4)
    with torch.no_grad():
        views = [model.module.test_step(dict(zip(batch, v))) for v in zip(*batch.values())]
        expected = torch.stack([view[1].seg_logits.data for view in views]).mean(0)
    result = model.test_step(batch)[1]
    torch.testing.assert_close(result.seg_logits.data, expected)
    assert expected.min() >= 0 and expected.max() <= 1
    assert torch.equal(result.pred_sem_seg.data, (expected > 0.4).to(expected))


def test_views_in_bfloat16_are_added_in_float32(tta, batch):
    for result in tta().speed_up(precision='bf16').test_step(batch):
        sums = result.seg_logits.data.double().sum(0)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)


def test_ground_truth_and_path_stay(tta, batch):
    for samples in batch['data_samples']:
        for sample in samples:
            sample.set_metainfo(dict(img_path='there.jpg'))
    result = tta().test_step(batch)[0]
    assert isinstance(result, SegDataSample)
    assert result.img_path == 'there.jpg'


def views_with_labels(tmp_path, before, scales, flips):
    """The views of an image whose left half is class 1, with its labels loaded before or after."""
    image, labels = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), np.uint8)
    image[:, :24], labels[:, :24] = 255, 1
    Image.fromarray(image).save(tmp_path / 'image.png')
    Image.fromarray(labels).save(tmp_path / 'labels.png')
    load = [dict(type='LoadAnnotations')]
    views = [
        [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in scales],
        [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in flips],
        *([] if before else [load]),
        [dict(type='PackSegInputs')],
    ]
    steps = [dict(type='LoadImageFromFile'), *(load if before else [])]
    pipeline = Compose([*steps, dict(type='TestTimeAug', transforms=views)])
    files = dict(img_path=f'{tmp_path}/image.png', seg_map_path=f'{tmp_path}/labels.png')
    return pseudo_collate([pipeline(dict(files, seg_fields=[], reduce_zero_label=False))])


def is_bright(images, metas):
    """A perfect model: the logits of dark and of bright."""
    return torch.cat([-images[:, :1], images[:, :1]], 1)


@pytest.mark.parametrize('before', [True, False], ids=['before', 'after'])
@pytest.mark.parametrize('scales', [[1.0], [0.5, 1.0]])
@pytest.mark.parametrize('flips', [[0.0], [0.0, 1.0], [1.0, 0.0]])
def test_a_perfect_model_is_right_whenever_its_labels_are_loaded(
    tta, tmp_path, monkeypatch, before, scales, flips
):
    model = tta(num_classes=2)
    monkeypatch.setattr(model.module, 'encode_decode', is_bright)
    result = model.test_step(views_with_labels(tmp_path, before, scales, flips))[0]
    truth = result.gt_sem_seg.data
    assert truth.shape == (1, 32, 48) and 0 < truth.float().mean() < 1
    assert (result.pred_sem_seg.data == truth).float().mean() > 0.9  # an edge blurs
    assert not result.flip


def test_labels_of_mirrored_views_alone_are_refused(tta, tmp_path):
    with pytest.raises(ValueError, match='image.png: all its views are mirrored'):
        tta(num_classes=2).test_step(views_with_labels(tmp_path, True, [1.0], [1.0]))
