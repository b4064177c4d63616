import inspect

import numpy as np
import pytest
from common.shapes_generator import CLASSES, generate_shapes
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_deeplabv3x.datasets import CamVidDataset, ShapesDataset


@pytest.fixture
def root(tmp_path):
    for split in ('train', 'val'):
        for folder, array, suffix in (
            ('images', np.zeros((6, 8, 3), np.uint8), 'jpg'),
            ('annotations', np.full((6, 8), 10, np.uint8), 'png'),
        ):
            (tmp_path / folder / split).mkdir(parents=True)
            Image.fromarray(array).save(tmp_path / folder / split / f'{split}_1.{suffix}')
    return tmp_path


def test_reads_images_and_labels(root):
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    dataset = DATASETS.build(dict(type='CamVidDataset', data_root=str(root), pipeline=load))
    assert [info['seg_map_path'] for info in dataset] == [
        str(root / 'annotations/train/train_1.png')
    ]
    assert (dataset[0]['gt_seg_map'] == 10).all()
    val = CamVidDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
    )
    assert val.get_data_info(0)['img_path'] == str(root / 'images/val/val_1.jpg')


def test_there_need_not_be_labels(root):
    (root / 'annotations').rename(root / 'elsewhere')
    dataset = CamVidDataset(data_root=str(root), data_prefix=dict(img_path='images/val'))
    assert 'seg_map_path' not in dataset.get_data_info(0)


def test_eleven_classes_with_a_colour_each():
    metainfo = CamVidDataset.METAINFO
    assert len(metainfo['classes']) == len(metainfo['palette']) == 11
    assert metainfo['classes'].index('pedestrian') == 9
    assert len({tuple(colour) for colour in metainfo['palette']}) == 11


@pytest.mark.parametrize('folder', ['images', 'annotations'])
def test_missing_root_says_what_is_expected(root, folder):
    (root / folder).rename(root / 'elsewhere')
    with pytest.raises(
        FileNotFoundError,
        match=rf'finds no .*{folder}/train: `python tools/prepare_data.py camvid --root {root}`',
    ):
        CamVidDataset(data_root=str(root))


def test_blank_lines_of_a_list_are_skipped_by_the_dataset_itself(root, monkeypatch):
    stock = inspect.unwrap(BaseSegDataset.load_data_list)  # without what the commands install
    monkeypatch.setattr(BaseSegDataset, 'load_data_list', stock)
    (root / 'list.txt').write_text('\ntrain_1\n \n')
    assert len(CamVidDataset(str(root), ann_file='list.txt')) == 1


def test_a_list_that_is_not_text_is_named(root):
    (root / 'list.txt').write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match='list.txt is not a list of image names in UTF-8'):
        CamVidDataset(str(root), ann_file='list.txt')


def test_reads_what_the_generator_writes(tmp_path):
    root = generate_shapes(tmp_path / 'shapes', 3, 2, (48, 64))
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    train = DATASETS.build(dict(type='ShapesDataset', data_root=str(root), pipeline=load))
    val = DATASETS.build(
        dict(
            type='ShapesDataset',
            data_root=str(root),
            ann_file='ImageSets/Segmentation/val.txt',
            pipeline=load,
        )
    )
    assert (len(train), len(val)) == (3, 2)
    assert train.metainfo['classes'] == CLASSES
    assert len(train.metainfo['palette']) == len(CLASSES)
    sample = train[0]
    assert sample['img'].shape == (48, 64, 3)
    assert set(sample['gt_seg_map'].ravel()) <= {*range(len(CLASSES)), 255}


def test_missing_root_says_how_to_get_the_data(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='finds no .*nowhere.*: `python tools/make_shapes.py --root .*nowhere` makes it',
    ):
        ShapesDataset(data_root=str(tmp_path / 'nowhere'))
    ShapesDataset(data_root=str(tmp_path / 'nowhere'), lazy_init=True)  # metainfo needs no data


def test_blank_lines_of_a_list_of_shapes_are_skipped(tmp_path, monkeypatch):
    stock = inspect.unwrap(BaseSegDataset.load_data_list)  # without what the commands install
    monkeypatch.setattr(BaseSegDataset, 'load_data_list', stock)
    root = generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    split = root / 'ImageSets/Segmentation/train.txt'
    split.write_text('\n\n'.join(['', *split.read_text().split(), '']))
    assert len(ShapesDataset(str(root))) == 2
    split.write_text('\ufeffa\n')
    with pytest.raises(ValueError, match='train.txt holds .* not the name of an image'):
        ShapesDataset(str(root))
