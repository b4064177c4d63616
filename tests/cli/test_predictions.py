"""Predictions without labels, and their archive."""

from __future__ import annotations

import io
import shutil
import tarfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
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


def weights_of(config, folder):
    """A checkpoint that fits a config."""
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'weights.pth')
    return f'{folder}/weights.pth'


@pytest.mark.parametrize('flags', [[], ['--tta', '--scales', '0.5', '1.0']], ids=['plain', 'tta'])
def test_pack_voc_of_a_split_without_labels(test_split, tiny_config, tmp_path, flags):
    name = f'pack{len(flags)}'
    prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
    voc = dict(type='PascalVOCDataset', data_root=str(test_split), data_prefix=prefix)
    changes = {f'test_dataloader.dataset.{key}': value for key, value in voc.items()}
    config = tiny_config(name, {**changes, 'test_evaluator.type': 'ConfusionIoUMetric'})
    out = tmp_path / 'ids'
    line = [config, weights_of(config, tmp_path), '--work-dir', str(tmp_path / 'work'), *flags]
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


def two_folders(shapes_root, tmp_path):
    """Two images of the same name under x and y, of Shapes, and a list of them."""
    for kind, suffix in (('JPEGImages', '.jpg'), ('SegmentationClass', '.png')):
        for source, folder in zip(sorted((shapes_root / kind).iterdir()), 'xy'):
            target = tmp_path / 'data' / kind / folder / f'0001{suffix}'
            target.parent.mkdir(parents=True)
            shutil.copy(source, target)
    (tmp_path / 'data/list.txt').write_text('x/0001\ny/0001\n')
    return dict(data_root=f'{tmp_path}/data', ann_file='list.txt')


def two_parts(shapes_root, tmp_path):
    """The same images as two datasets of their own."""
    root = two_folders(shapes_root, tmp_path)['data_root']
    prefixes = [
        dict(img_path=f'JPEGImages/{x}', seg_map_path=f'SegmentationClass/{x}') for x in 'xy'
    ]
    part = dict(type='ShapesDataset', data_root=root, ann_file='')
    return [dict(part, data_prefix=prefix) for prefix in prefixes]


@pytest.mark.parametrize('parts', [two_folders, two_parts])
@pytest.mark.parametrize('metric', ['IoUMetric', 'ConfusionIoUMetric'])
def test_images_of_the_same_name_overwrite_nothing(
    shapes_root, tiny_config, tmp_path, parts, metric
):
    data = parts(shapes_root, tmp_path)
    config = tiny_config(f'{parts.__name__}{metric}', {'test_evaluator.type': metric})
    if isinstance(data, list):
        cfg = Config.fromfile(config)
        pipeline = cfg.test_dataloader.dataset.pipeline
        cfg.test_dataloader.dataset = dict(
            type='ConcatDataset', datasets=[dict(part, pipeline=pipeline) for part in data]
        )
        cfg.dump(config)
    cfg = Config.fromfile(config)
    if isinstance(data, dict):
        cfg.merge_from_dict({f'test_dataloader.dataset.{key}': v for key, v in data.items()})
        cfg.dump(config)
    line = [config, weights_of(config, tmp_path), '--work-dir', f'{tmp_path}/work']
    cli_test.test([*line, '--out', f'{tmp_path}/ids', '--show-dir', f'{tmp_path}/pictures'])
    written = [
        [path.relative_to(tmp_path / folder).as_posix() for path in sorted(paths)]
        for folder in ('ids', 'pictures')
        for paths in [(tmp_path / folder).rglob('*.png')]
    ]
    assert written == [
        ['x/0001.png', 'y/0001.png'],
        ['x/test_0001.jpg_0.png', 'y/test_0001.jpg_0.png'],
    ]


def test_labels_stay_where_they_are_evaluated():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    dataset = dict(data_prefix=dict(seg_map_path='masks'), pipeline=pipeline)
    cfg = Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=dict(type='IoUMetric')))
    write_predictions(cfg, 'out')
    assert cfg.test_dataloader.dataset == dataset


def test_metrics_inside_an_evaluator_and_datasets_inside_a_wrapper_count():
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    parts = [dict(data_prefix=dict(seg_map_path='masks'), pipeline=steps) for _ in range(2)]
    metric = dict(type='IoUMetric', format_only=True)
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=parts)),
            test_evaluator=dict(type='Evaluator', metrics=[metric]),
        )
    )
    write_predictions(cfg, 'out')
    (only,) = cfg.test_evaluator.metrics
    assert (only.type, only.output_dir) == ('ConfusionIoUMetric', 'out')
    for part in cfg.test_dataloader.dataset.datasets:
        assert part == dict(data_prefix={}, pipeline=steps[:1])


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
