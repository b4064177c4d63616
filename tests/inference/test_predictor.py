from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import get_overloads, get_type_hints

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from PIL import Image

from mmseg_deeplabv3x.inference import DeepLabV3Predictor, Segmentation
from mmseg_deeplabv3x.inference import predictor as module
from mmseg_deeplabv3x.inference.predictor import tiles

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


@pytest.fixture(scope='module')
def by_openvino(trained):
    pytest.importorskip('openvino', reason='needs the extra deploy')
    predictor = DeepLabV3Predictor(*trained, device='cpu')
    predictor.model.backbone.forward = None  # it must not be asked
    return predictor


def test_fast_is_openvino_where_it_is_installed_and_pytorch_where_told(trained, by_openvino):
    by_torch = DeepLabV3Predictor(*trained, device='cpu', fast_runtime='torch')
    assert by_torch.model._network is None
    for image in (RGB, RGB[:40]):
        assert (by_openvino(image).mask == by_torch(image).mask).mean() >= 0.999


def test_a_type_checker_knows_what_one_image_and_a_list_give():
    one, several = map(get_type_hints, get_overloads(DeepLabV3Predictor.__call__))
    assert one['return'] is Segmentation and one['image'] == module.ImageLike
    assert several['return'] == list[Segmentation]


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


def test_masks_have_16_bits_from_256_classes_on(plain, monkeypatch):
    for number, dtype in ((255, np.uint8), (256, np.uint16)):
        monkeypatch.setattr(plain, 'classes', ('thing',) * number)
        assert plain(RGB).mask.dtype == dtype


@pytest.mark.parametrize('kind', ['plain', 'by_openvino'])
def test_threads_share_it(request, kind):
    predictor = request.getfixturevalue(kind)
    images = [np.roll(RGB, shift, 1) for shift in range(8)]
    expected = [predictor(image).mask for image in images]
    with ThreadPoolExecutor(4) as pool:
        for mask, result in zip(expected, pool.map(predictor, images)):
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
        r'other.pth does not fit .*: 1 of \d+ tensors are missing.*: decode_head.conv_seg.bias is'
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
    bare = DeepLabV3Predictor(trained[0], tmp_path / 'bare.pth', device='cpu', fast=False)
    assert bare(RGB).classes[1] == 'dot'  # the config's dataset knows them


@pytest.mark.parametrize(
    'arguments,message',
    [
        (dict(checkpoint=None), 'needs a checkpoint'),
        (dict(checkpoint='none.pth'), "no checkpoint file 'none.pth'"),
        (dict(precision='int8'), 'fp32, bf16, fp16'),
        (dict(precision='fp16'), 'needs a GPU'),
        (dict(slide=(33, 34)), 'from 1 to their size 33'),
        (dict(device='meta', fast_runtime='openvino'), "'openvino' computes on a CPU"),
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


def test_under_mmsegs_own_model_of_views_nothing_is_sped_up(trained):
    cfg = Config.fromfile(trained[0])
    cfg.model = dict(type='SegTTAModel', module=cfg.model)
    assert not DeepLabV3Predictor(cfg, trained[1], device='cpu').fast


# ---- tiles


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
