import pytest
from mmseg.registry import DATASETS

from mmseg_deeplabv3x.datasets import ShapesDataset, generate_shapes
from mmseg_deeplabv3x.datasets.shapes_generator import CLASSES


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
        match='no images in .*nowhere.*python tools/make_shapes.py --root .*nowhere',
    ):
        ShapesDataset(data_root=str(tmp_path / 'nowhere'))
    ShapesDataset(data_root=str(tmp_path / 'nowhere'), lazy_init=True)  # metainfo needs no data
