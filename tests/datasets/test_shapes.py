import inspect

import pytest
from common.shapes_generator import CLASSES, generate_shapes
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_deeplabv3x.datasets import ShapesDataset


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


def test_blank_lines_of_a_list_are_skipped_by_the_dataset_itself(tmp_path, monkeypatch):
    stock = inspect.unwrap(BaseSegDataset.load_data_list)  # without what the commands install
    monkeypatch.setattr(BaseSegDataset, 'load_data_list', stock)
    root = generate_shapes(tmp_path / 'shapes', 2, 1, (48, 64))
    split = root / 'ImageSets/Segmentation/train.txt'
    split.write_text('\n\n'.join(['', *split.read_text().split(), '']))
    assert len(ShapesDataset(str(root))) == 2
    split.write_text('\ufeffa\n')
    with pytest.raises(ValueError, match='train.txt holds .* not the name of an image'):
        ShapesDataset(str(root))
