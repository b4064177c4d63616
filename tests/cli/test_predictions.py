"""Predictions without labels, and their archive."""

from __future__ import annotations

import io
import shutil
import tarfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli.predictions import check_packable, write_predictions

TEST = 'ImageSets/Segmentation/test.txt'


@pytest.fixture
def test_split(shapes_root, tmp_path):
    """A copy of the Shapes as PASCAL VOC's test images are: with a list, and without masks."""
    root = tmp_path / 'VOC2012'
    shutil.copytree(shapes_root, root, ignore=shutil.ignore_patterns('SegmentationClass'))
    shutil.copy(root / 'ImageSets/Segmentation/val.txt', root / TEST)
    return root


@pytest.mark.parametrize('flags', [[], ['--tta', '--scales', '0.5', '1.0']], ids=['plain', 'tta'])
def test_pack_voc_of_a_split_without_labels(test_split, tiny_config, tmp_path, flags):
    name = f'pack{len(flags)}'
    prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
    voc = dict(type='PascalVOCDataset', data_root=str(test_split), data_prefix=prefix)
    changes = {f'test_dataloader.dataset.{key}': value for key, value in voc.items()}
    config = tiny_config(name, {**changes, 'test_evaluator.type': 'ConfusionIoUMetric'})
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    out = tmp_path / 'ids'
    line = [config, str(tmp_path / 'weights.pth'), '--work-dir', str(tmp_path / 'work'), *flags]
    line += ['--out', f'{out}/', '--pack', 'voc', '--cfg-options']
    cli_test.test(
        [*line, 'test_evaluator.format_only=True', f'test_dataloader.dataset.ann_file={TEST}']
    )

    names = (test_split / TEST).read_text().split()
    with tarfile.open(tmp_path / 'ids.tgz') as archive:
        packed = {member.rpartition('/')[2]: member for member in archive.getnames()}
        assert sorted(packed) == [f'{name}.png' for name in names]
        content = archive.extractfile(packed[f'{names[0]}.png']).read()
    written = Image.open(out / f'{names[0]}.png')
    assert np.array_equal(np.array(Image.open(io.BytesIO(content))), np.array(written))
    (log,) = (tmp_path / 'work').glob('*/*.log')
    text = log.read_text()
    assert f'Packed: {out}.tgz' in text and 'WARNING' not in text


def test_labels_stay_where_they_are_evaluated():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    dataset = dict(data_prefix=dict(seg_map_path='masks'), pipeline=pipeline)
    cfg = Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=dict(type='IoUMetric')))
    write_predictions(cfg, 'out')
    assert cfg.test_dataloader.dataset == dataset


@pytest.mark.parametrize('missing', ['data_root', 'ann_file'])
def test_only_the_images_of_a_list_are_packed(missing):
    dataset = dict(type='CityscapesDataset', data_root='root', ann_file='list.txt')
    del dataset[missing]
    with pytest.raises(ValueError, match=f'dataset.{missing}, and the CityscapesDataset there has'):
        check_packable(Config(dict(test_dataloader=dict(dataset=dataset))))


def test_packing_needs_a_folder(tmp_path, capsys):
    for name in ('config.py', 'weights.pth'):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit):
        cli_test.test([f'{tmp_path}/config.py', f'{tmp_path}/weights.pth', '--pack', 'voc'])
    assert '--pack packs the predictions of --out: add --out FOLDER' in capsys.readouterr().err
