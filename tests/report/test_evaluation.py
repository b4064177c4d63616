import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_deeplabv3x import DeepLabV3Predictor
from mmseg_deeplabv3x.evaluation.boundary_iou import boundary_areas
from mmseg_deeplabv3x.report import evaluation as report
from mmseg_deeplabv3x.report.evaluation import BINS, evaluate


@pytest.fixture(scope='module')
def checkpoint(trained, tmp_path_factory):
    """In a work dir of its own."""
    path = tmp_path_factory.mktemp('work_dir') / 'iter_4.pth'
    os.link(trained[1], path)
    return path


@pytest.fixture(scope='module')
def found(checkpoint):
    return evaluate(checkpoint, 'cpu')


@pytest.fixture(scope='module')
def predicted(trained):
    """Of each image: path, labels, and the predictor's result."""
    loader = Config.fromfile(trained[0]).val_dataloader
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(dict(loader.dataset))
    predictor = DeepLabV3Predictor(None, trained[1], device='cpu', probabilities=True)
    pairs = []
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        labels = np.array(Image.open(info['seg_map_path']))
        pairs.append((info['img_path'], labels, predictor(info['img_path'])))
    return pairs


def test_the_matrix_counts_what_the_predictor_finds(found, predicted):
    size = len(found.classes)
    expected = np.zeros((size, size), np.int64)
    for _, labels, result in predicted:
        valid = labels < size
        np.add.at(expected, (labels[valid], result.mask[valid]), 1)
    assert np.array_equal(found.matrix, expected)
    assert found.images.tolist() == [path for path, *_ in predicted]


def test_boundary_counts_are_the_sums_over_the_images(found, predicted):
    areas = [boundary_areas(labels, r.mask, len(found.classes)) for _, labels, r in predicted]
    assert np.array_equal(found.boundary, np.sum(areas, 0)) and found.boundary[1:].any(1).all()


def test_each_image_has_its_own_iou(found, predicted):
    for iou, (_, labels, result) in zip(found.image_iou, predicted, strict=True):
        truth, mask = labels[labels < 255], result.mask[labels < 255]
        pairs = [(truth == i, mask == i) for i in np.union1d(truth, mask)]
        expected = np.mean([(one & other).sum() / (one | other).sum() for one, other in pairs])
        assert iou == pytest.approx(expected)


def test_of_each_pair_the_image_with_the_most_pixels_is_kept(found, predicted):
    pixels = np.zeros((len(predicted), *found.matrix.shape), int)
    for own, (_, labels, result) in zip(pixels, predicted):
        np.add.at(own, (labels[labels < 255], result.mask[labels < 255]), 1)
    assert np.array_equal(found.pair_image, pixels.argmax(0))
    assert set(np.unique(found.pair_image)) == {0, 1, 2}


def test_calibration_compares_confidence_and_accuracy(found, predicted):
    confidence = np.concatenate([r.probabilities.max(0)[t < 255] for _, t, r in predicted])
    right = np.concatenate([(r.mask == t)[t < 255] for _, t, r in predicted])
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = sum(
        (place == i).mean() * abs(confidence[place == i].mean() - right[place == i].mean())
        for i in range(BINS)
        if (place == i).any()
    )
    assert found.calibration_error == pytest.approx(error, abs=1e-5)
    uncertainty = [1 - r.probabilities.max(0)[t < 255].mean() for _, t, r in predicted]
    assert found.uncertainty == pytest.approx(uncertainty, abs=1e-5)


def test_every_chosen_image_has_its_pictures(found):
    numbers = {number for chosen in found.chosen().values() for number in chosen}
    kinds = ('image', 'truth', 'prediction', 'errors')
    assert set(found.pictures) == {f'{n}/{kind}' for n in numbers for kind in kinds}
    assert all(jpeg[:2].tobytes() == b'\xff\xd8' for jpeg in found.pictures.values())


def shown(found, number, kind):
    return np.array(Image.open(io.BytesIO(found.pictures[f'{number}/{kind}'].tobytes())), float)


def test_the_pictures_show_the_image_the_classes_and_the_errors(found, predicted):
    colours = np.full((256, 3), 255)
    colours[: len(found.palette)] = found.palette
    right = []
    for number, (path, labels, result) in enumerate(predicted):
        image, ignored = np.array(Image.open(path), float), labels == 255
        for kind, expected in (
            ('image', image),
            ('truth', 0.4 * image + 0.6 * colours[labels]),
            ('prediction', 0.4 * image + 0.6 * colours[result.mask]),
        ):
            picture = shown(found, number, kind)
            assert picture.shape == (72, 96, 3) and abs(picture - expected).mean() < 12  # JPEG
        errors, wrong = shown(found, number, 'errors'), ~ignored & (labels != result.mask)
        assert np.median(errors[ignored], 0) == pytest.approx([255, 255, 255], abs=30)
        assert np.median(errors[wrong], 0) == pytest.approx([230, 40, 40], abs=15)
        right.append(errors[labels == result.mask])
    assert np.ptp(np.median(np.concatenate(right), 0)) < 10  # gray


def test_a_large_picture_is_made_smaller():
    jpeg = report._jpeg(np.full((300, 1200, 3), 200, np.uint8))
    assert Image.open(io.BytesIO(jpeg.tobytes())).size == (480, 120)


def test_what_an_older_version_kept_is_made_anew(checkpoint, found):
    [kept] = Path(checkpoint.parent, 'report').iterdir()
    with np.load(kept) as content:
        values = {name: content[name] for name in content.files if name != 'palette'}
    np.savez_compressed(kept, **values)
    assert np.array_equal(evaluate(checkpoint, 'cpu').palette, found.palette)


def test_a_result_is_kept_until_the_checkpoint_is_newer(checkpoint, found):
    [kept] = Path(checkpoint.parent, 'report').iterdir()
    weights = torch.load(checkpoint, weights_only=False)
    again = evaluate(checkpoint, 'cpu')
    assert np.array_equal(again.matrix, found.matrix)
    assert again.data_hash == found.data_hash
    assert again.pictures.keys() == found.pictures.keys()

    weights['state_dict']['decode_head.conv_seg.bias'][0] += 1e4  # all is class 0
    checkpoint.unlink()  # a link
    torch.save(weights, checkpoint)
    os.utime(checkpoint, (kept.stat().st_mtime + 10,) * 2)
    assert evaluate(checkpoint, 'cpu').matrix[:, 1:].sum() == 0


@pytest.fixture
def changed(trained, tmp_path):
    """A checkpoint of the model under a changed config."""

    def change(edit):
        content = torch.load(trained[1], weights_only=False)
        cfg = Config.fromfile(trained[0])
        edit(cfg, content['state_dict'])
        content['meta']['cfg'] = cfg.pretty_text
        torch.save(content, tmp_path / 'iter_4.pth')
        return tmp_path / 'iter_4.pth'

    return change


def test_one_channel_is_compared_with_the_threshold_of_the_head(changed, found):
    classes = found.classes[:2].tolist()

    def two_classes(cfg, state):
        loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
        cfg.model.decode_head.update(num_classes=2, out_channels=1, loss_decode=loss)
        cfg.model.decode_head.threshold = 0.3
        cfg.model.pop('auxiliary_head', None)
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.metainfo = dict(classes=classes)
            for step in loader.dataset.pipeline:
                step.pop('num_classes', None)
        key = 'decode_head.conv_seg.'
        state[key + 'weight'] = torch.zeros_like(state[key + 'weight'][:1])
        state[key + 'bias'] = torch.logit(torch.tensor([0.4]))  # above it, but below a half

    one = evaluate(changed(two_classes), 'cpu')
    assert one.matrix[:, 0].sum() == 0 and one.matrix[:, 1].sum() > 0
    count, _, confidence = one.calibration
    assert confidence.sum() / count.sum() == pytest.approx(0.4)


def test_images_keep_their_numbers_where_the_loader_shuffles(changed, found):
    def shuffle(cfg, state):
        cfg.val_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)

    assert evaluate(changed(shuffle), 'cpu').images.tolist() == found.images.tolist()


def test_the_hash_is_of_the_files_wherever_they_are(changed, found, shapes_root, tmp_path):
    root = shutil.copytree(shapes_root, tmp_path / 'data')

    def move(cfg, state):
        cfg.val_dataloader.dataset.data_root = str(root)

    hashes = [evaluate(changed(move), 'cpu').data_hash]
    assert hashes == [found.data_hash]
    for file in ('JPEGImages/val_00001.jpg', 'SegmentationClass/val_00001.png'):
        with (root / file).open('ab') as content:
            content.write(b'more')
        shutil.rmtree(tmp_path / 'report')
        hashes.append(evaluate(changed(move), 'cpu').data_hash)
    assert len(set(hashes)) == 3


def test_data_that_is_not_there_is_told_in_one_way(changed):
    def voc(cfg, state):
        data = dict(type='PascalVOCDataset', data_root='no/VOC2012', ann_file='val.txt')
        cfg.val_dataloader.dataset.update(data)

    with pytest.raises(FileNotFoundError, match='no/VOC2012.*prepare_data.py voc'):
        evaluate(changed(voc), 'cpu')


def test_pairs_are_sorted_by_the_share_of_the_class(evaluation):
    assert evaluation.pairs() == [(2, 1), (1, 2), (0, 1)]
    assert evaluation.chosen() == dict(worst=[1, 0], best=[0, 1], uncertain=[1, 0], pairs=[1, 1, 0])
