from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from PIL import Image

from mmseg_deeplabv3x.inference import DeepLabV3Predictor
from mmseg_deeplabv3x.inference import predictor as module

RGB = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)


@pytest.fixture(scope='module')
def plain(trained):
    return DeepLabV3Predictor(*trained, device='cpu', fast=False, probabilities=True)


@pytest.fixture(scope='module')
def mmsegs(trained):
    """What mmseg's own function gives for RGB."""
    model = init_model(*trained, device='cpu')
    model.cfg.test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    sample = inference_model(model, RGB[..., ::-1].copy())
    return sample.pred_sem_seg.data[0].numpy(), sample.seg_logits.data.softmax(0).numpy()


def test_it_is_what_mmsegs_function_gives(plain, mmsegs):
    result = plain(RGB)
    assert (result.mask == mmsegs[0]).all() and len(np.unique(result.mask)) > 1
    np.testing.assert_allclose(result.probabilities, mmsegs[1], atol=1e-6)
    assert result.classes[0] == 'background' and len(result.palette) == 9
    assert (result.image == RGB).all()


@pytest.mark.parametrize('precision,share', [('fp32', 0.999), ('bf16', 0.95)])
def test_fast_gives_nearly_the_same_classes(trained, mmsegs, precision, share):
    result = DeepLabV3Predictor(*trained, device='cpu', precision=precision)(RGB)
    assert (result.mask == mmsegs[0]).mean() >= share
    assert result.probabilities is None


def test_fast_with_probabilities(trained, mmsegs):
    result = DeepLabV3Predictor(*trained, device='cpu', probabilities=True)(RGB)
    np.testing.assert_allclose(result.probabilities, mmsegs[1], atol=1e-4)


def test_the_config_in_the_checkpoint_will_do(trained, plain):
    result = DeepLabV3Predictor(checkpoint=trained[1], device='cpu', fast=False)(RGB)
    assert (result.mask == plain(RGB).mask).all()


def test_any_kind_of_image_is_the_same_image(plain, tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'image.png')
    chw = torch.from_numpy(RGB).movedim(-1, 0)
    kinds = [
        tmp_path / 'image.png',
        str(tmp_path / 'image.png'),
        Image.fromarray(RGB),
        RGB,
        np.dstack([RGB, np.zeros((72, 96), np.uint8)]),
        chw,
        chw / 255,
    ]
    expected = plain(RGB).mask
    for result in plain(kinds, batch_size=2):
        assert (result.mask == expected).all() and (result.image == RGB).all()
    assert (plain(RGB[..., ::-1], channel_order='bgr').mask == expected).all()


def test_gray_is_three_equal_channels(plain):
    expected = plain(np.dstack([RGB[..., 0]] * 3)).mask
    for gray in (RGB[..., 0], RGB[..., :1], Image.fromarray(RGB[..., 0])):
        assert (plain(gray).mask == expected).all()


def test_a_photo_is_turned_as_its_exif_says(plain, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(RGB).save(tmp_path / 'turned.png', exif=exif)
    for image in (tmp_path / 'turned.png', Image.open(tmp_path / 'turned.png')):
        assert plain(image).mask.shape == (96, 72)


def test_a_list_keeps_its_order_whatever_the_sizes(plain):
    images = [RGB, RGB[:40], RGB[:40, ::-1], RGB]
    together = plain(images, batch_size=3)
    for image, result in zip(images, together):
        assert (result.mask == plain(image).mask).all()


def test_threads_share_it(plain):
    images = [np.roll(RGB, shift, 1) for shift in range(8)]
    expected = [plain(image).mask for image in images]
    with ThreadPoolExecutor(4) as pool:
        for mask, result in zip(expected, pool.map(plain, images)):
            assert (result.mask == mask).all()


def test_another_output_stride(trained):
    coarse = DeepLabV3Predictor(*trained, device='cpu', fast=False, output_stride=16)(RGB)
    cfg = Config.fromfile(trained[0])
    cfg.model.output_stride = 16
    expected = DeepLabV3Predictor(cfg, trained[1], device='cpu', fast=False)(RGB)
    assert (coarse.mask == expected.mask).all()


def test_one_tile_is_the_whole_image(trained, plain):
    tiled = DeepLabV3Predictor(*trained, device='cpu', fast=False, slide=(96, 96))(RGB)
    assert (tiled.mask == plain(RGB).mask).all()


def test_a_tile_is_predicted_as_an_image_of_its_own(trained, plain):
    sliding = DeepLabV3Predictor(
        *trained, device='cpu', fast=False, slide=(72, 24), probabilities=True
    )
    result = sliding(RGB)
    left, right = plain(RGB[:, :72]), plain(RGB[:, 24:])
    assert (result.mask[:, :48] == left.mask[:, :48]).all()
    assert (result.mask[:, 48:] == right.mask[:, 24:]).all()
    assert (result.probabilities[:, :, 48:] == right.probabilities[:, :, 24:]).all()


def test_images_that_are_too_large_are_cut_into_tiles(trained, plain, monkeypatch):
    predictor = DeepLabV3Predictor(*trained, device='cpu', fast=False)
    monkeypatch.setattr(module, 'MAX_PIXELS', 72 * 96 - 1)
    monkeypatch.setattr(module, 'TILE', 72)
    monkeypatch.setattr(module, 'TILE_STRIDE', 24)
    result = predictor(RGB)
    assert (result.mask[:, :48] == plain(RGB[:, :72]).mask[:, :48]).all()


def test_weights_that_do_not_fit_are_refused(trained, tmp_path):
    content = torch.load(trained[1], weights_only=True)
    del content['state_dict']['decode_head.conv_seg.bias']
    torch.save(content, tmp_path / 'other.pth')
    text = (
        r'other.pth does not fit .*: 1 of \d+ tensors are missing .*: decode_head.conv_seg.bias is'
    )
    with pytest.raises(ValueError, match=text):
        DeepLabV3Predictor(checkpoint=tmp_path / 'other.pth', device='cpu')
    content['state_dict']['backbone.conv1.weight'] = torch.zeros(8, 3, 3, 3)
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other.pth: backbone.conv1.weight is \(8, 3, 3, 3\) in'):
        DeepLabV3Predictor(checkpoint=tmp_path / 'other.pth', device='cpu')


def test_a_checkpoint_is_unwrapped_and_a_refused_file_is_named(trained, plain, tmp_path):
    state = torch.load(trained[1], weights_only=True)['state_dict']
    torch.save({'model': state, 'epoch': 3}, tmp_path / 'wrapped.pth')
    wrapped = DeepLabV3Predictor(trained[0], tmp_path / 'wrapped.pth', device='cpu', fast=False)
    assert (wrapped(RGB).mask == plain(RGB).mask).all()
    torch.save(torch.nn.Linear(1, 1), tmp_path / 'whole_model.pth')
    with pytest.raises(ValueError, match=r'whole_model.pth is not loaded: it asks for .*[^\n]$'):
        DeepLabV3Predictor(trained[0], tmp_path / 'whole_model.pth', device='cpu')


def test_a_checkpoint_without_a_config_asks_for_one(trained, tmp_path):
    content = torch.load(trained[1], weights_only=True)
    torch.save(content['state_dict'], tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match=r'bare.pth holds no config: give the config file too'):
        DeepLabV3Predictor(checkpoint=tmp_path / 'bare.pth', device='cpu')
    bare = DeepLabV3Predictor(trained[0], tmp_path / 'bare.pth', device='cpu')
    assert bare(RGB).classes[1] == 'dot'  # the config's dataset knows them


@pytest.mark.parametrize(
    'arguments,message',
    [
        (dict(checkpoint=None), 'needs a checkpoint'),
        (dict(checkpoint='none.pth'), "no checkpoint file 'none.pth'"),
        (dict(precision='int8'), 'fp32, bf16, fp16'),
        (dict(precision='fp16'), 'needs a GPU'),
        (dict(slide=(33, 34)), 'from 1 to their size 33'),
    ],
)
def test_bad_arguments_are_named(trained, arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        DeepLabV3Predictor(**{**dict(checkpoint=trained[1], device='cpu'), **arguments})


@pytest.mark.parametrize(
    'image,message',
    [
        (RGB.astype(np.float32), 'float32'),
        (np.zeros((4, 4, 2), np.uint8), r'\(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (torch.full((3, 4, 4), 2.0), 'from 0 to 1, but holds 2 to 2'),
        (3, 'int'),
        ('none.jpg', 'none.jpg does not exist'),
    ],
)
def test_what_is_no_image_is_named(plain, image, message):
    with pytest.raises(ValueError, match=message):
        plain(image)
