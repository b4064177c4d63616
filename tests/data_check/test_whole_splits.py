import os
import shutil

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.data_check import check_before_training, check_data, start_check

LOADERS = ('train_dataloader', 'val_dataloader')


def kinds(cfg):
    return [(problem.split, problem.kind) for problem in check_data(cfg).problems]


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(start_check, 'print_log', lambda message, *_: lines.append(message))
    return lines


@pytest.fixture
def folders(data):
    """The same images in folders, without a list."""
    for split, numbers in (('train', range(8)), ('val', range(8, 11))):
        for kind, path in (('img', data.image), ('ann', data.mask)):
            folder = data.root / kind / split
            folder.mkdir(parents=True)
            for i in numbers:
                os.rename(path(i), folder / path(i).name)

    def dataset(split):
        prefix = dict(img_path=f'img/{split}', seg_map_path=f'ann/{split}')
        return data.dataset(split, ann_file='', data_prefix=prefix)

    cfg = data.config(dataset('train'))
    cfg.val_dataloader = cfg.test_dataloader = dict(dataset=dataset('val'))
    return cfg


def test_masks_of_0_and_255_for_two_classes(data, warned):
    for i in range(11):
        labels = np.zeros((10, 12), np.uint8)
        labels[2:5] = 255
        data.write_mask(i, labels)
    cfg = data.config()
    for loader in LOADERS:
        cfg[loader].dataset.metainfo = dict(classes=('background', 'crack'))
    cfg.test_dataloader = None
    assert kinds(cfg) == [('train', 'one class'), ('val', 'one class')]
    check_before_training(cfg, LOADERS)
    assert 'one class alone, background, and pixels that are ignored' in warned[0]


def test_a_class_without_a_pixel(data):
    for i in (3, 7):
        data.write_mask(i, np.zeros((10, 12), np.uint8))
    report = check_data(data.config())
    assert [problem.message for problem in report.problems] == [
        'No mask of train has a pixel of pole.'
    ]


def test_parts_of_a_concatenation_complete_each_other(data):
    for name, numbers in (('odd', range(1, 8, 2)), ('even', range(0, 8, 2))):
        data.write_list(name, numbers)
    parts = [data.dataset(name) for name in ('odd', 'even')]
    assert kinds(data.config(dict(type='ConcatDataset', datasets=parts))) == []
    assert ('train', 'absent class') in kinds(data.config(parts[0]))


def test_nothing_labelled_is_refused_at_the_start(data):
    for i in range(8):
        data.write_mask(i, np.full((10, 12), 255, np.uint8))
    with pytest.raises(ValueError, match='All pixels of all masks of train .* are ignored'):
        check_before_training(data.config(), LOADERS)


@pytest.mark.parametrize('suffix', ['.JPG', '.jpeg', '.png'])
def test_images_of_another_suffix(folders, data, suffix, warned):
    assert kinds(folders) == []
    for i in range(4):
        path = data.root / f'img/train/{i}.jpg'
        path.rename(path.with_suffix(suffix))
    (other, masks), *_ = (
        [
            [p for p in check_data(folders).problems if p.kind == kind]
            for kind in ('other suffix', 'no image')
        ],
        None,
    )
    assert f"img_suffix is '.jpg': 4 {suffix}." in other[0].message
    assert 'holds masks without an image: 0.png, 1.png, 2.png and 1 more' in masks[0].message
    check_before_training(folders, LOADERS)
    assert other[0].message in warned and masks[0].message in warned


def test_images_and_masks_in_one_folder(data):
    for i in range(8):
        os.rename(data.mask(i), data.root / f'images/{i}.png')
    for i in range(8, 11):
        data.image(i).unlink()
    dataset = data.dataset(
        '', ann_file='', data_prefix=dict(img_path='images', seg_map_path='images')
    )
    cfg = data.config(dataset)
    cfg.val_dataloader = cfg.test_dataloader = None
    assert kinds(cfg) == []


def test_the_same_photo_in_train_and_val(data):
    shutil.copy(data.image(2), data.image(9))
    (found,) = check_data(data.config()).problems
    assert found.kind == 'shared'
    assert found.message == f'{data.image(9)} is in val, test and also in train as {data.image(2)}.'


def test_the_same_file_in_train_and_val_is_told_at_the_start(data, warned):
    data.write_list('train', range(10))
    check_before_training(data.config(), LOADERS)
    assert '8.jpg is in val and also in train. (1 more of this kind)' in warned[0]


def test_12_bits_in_files_of_16(data, warned):
    rng = np.random.default_rng(0)
    cfg = data.config(data.dataset('train', img_suffix='.png'))
    for i in range(8):
        dark, path = rng.integers(0, 4096, (10, 12), np.uint16), data.root / f'images/{i}.png'
        Image.fromarray(dark).save(path)
    found = check_data(cfg).problems
    assert [problem.kind for problem in found] == ['few bits'] * 8
    assert 'become 0 to 15 of 255' in found[0].message
    check_before_training(cfg, LOADERS)
    assert '(7 more of this kind)' in warned[0]
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile', color_type='unchanged')]
    assert kinds(cfg) == []
    for i in range(8):  # black is no problem, nor are 16 bits
        bright = rng.integers(0, 65536, (10, 12), np.uint16)
        Image.fromarray(bright).save(data.root / f'images/{i}.png')
    Image.new('L', (12, 10)).save(data.root / 'images/2.png')
    cfg.train_dataloader.dataset.pipeline = []
    assert kinds(cfg) == []


@pytest.mark.parametrize('size, orientation, start', [
    ((12, 10), 6, 'refused'),
    ((12, 12), 6, 'warned'),
    ((12, 10), 3, 'warned'),
])  # fmt: skip
def test_an_image_turned_by_exif_beside_a_mask_that_is_not(data, size, orientation, start, warned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', size).save(data.image(3), exif=exif)
    data.write_mask(3, np.full(size[::-1], 3, np.uint8))
    (found,) = check_data(data.config()).problems
    assert found.kind == ('size' if start == 'refused' else 'turned')
    assert f'as its EXIF orientation {orientation} says' in found.message
    if start == 'refused':
        with pytest.raises(ValueError, match='EXIF'):
            check_before_training(data.config(), LOADERS)
        data.write_mask(3, np.full(size, 3, np.uint8))  # drawn on the turned image
        assert kinds(data.config()) == []
    else:
        check_before_training(data.config(), LOADERS)
        assert 'EXIF' in warned[0]
