"""A row's config: on the small datasets, with options, written to a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from paper_tables.config import CONFIGS, base_config, differences, missing_weights, row_config
from PIL import Image

from mmseg_deeplabv3x.paper import ROWS


@pytest.mark.parametrize(
    'dataset,classes,crop,small_crop',
    [('camvid', 11, (321, 321), (193, 193)), ('shapes', 9, (145, 193), (97, 129))],
)
def test_small_data_sets_keep_their_own_crop_batch_and_momentum(dataset, classes, crop, small_crop):
    own = Config.fromfile(CONFIGS / f'deeplabv3x_r18_os16_{dataset}.py')
    for row_id in ('table3/mg124-block6', 'table8/crop321', 'table9/batch4'):
        cfg = row_config(ROWS[row_id], dataset)
        model, size = cfg.model, small_crop if 'crop' in row_id else crop
        assert model.decode_head.num_classes == classes
        assert model.data_preprocessor.size == size
        pipeline = cfg.train_dataloader.dataset.pipeline
        assert [t.crop_size for t in pipeline if 'crop_size' in t] == [size]
        assert model.backbone.depth == 101 and 'init_cfg' not in model.backbone
        parts = [model.backbone, model.get('neck'), model.decode_head]
        found = [part.norm_cfg.momentum for part in parts if part and 'norm_cfg' in part]
        assert found == [0.1, 0.1]
        batch = own.train_dataloader.batch_size
        assert cfg.train_dataloader.batch_size == (batch // 4 if 'batch4' in row_id else batch)
        assert cfg.optim_wrapper == own.optim_wrapper and cfg.train_cfg == own.train_cfg


def test_neck_and_head_follow_the_backbone():
    options = {'model.backbone.depth': 34, 'model.backbone.base_channels': 8}
    model = row_config(ROWS['table3/mg124-block6'], 'camvid', options).model
    init_default_scope('mmseg')
    network = MODELS.build(model)
    assert network.neck.num_units == 3
    assert network.decode_head.conv_seg.in_channels == 64
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 33, 33)).shape == (1, 11, 3, 3)
    weights = row_config(ROWS['table1/os8'], options=options).model.backbone.init_cfg.checkpoint
    assert weights == 'torchvision://resnet34'


def test_small_data_sets_can_start_from_weights_all_the_same():
    weights = {'type': 'Pretrained', 'prefix': 'backbone.', 'checkpoint': 'start.pth'}
    options = {f'model.backbone.init_cfg.{key}': value for key, value in weights.items()}
    row = ROWS['table8/no-bn']
    cfg = row_config(row, 'camvid', options)
    assert cfg.model.backbone.init_cfg == weights
    assert not missing_weights(row, cfg) and missing_weights(row, row_config(row, 'camvid'))


def test_rows_that_change_the_batch_change_the_one_of_the_options():
    options = {'train_dataloader.batch_size': 32}
    sizes = [
        row_config(ROWS[f'table9/batch{n}'], 'camvid', options).train_dataloader.batch_size
        for n in (4, 8, 12, 16)
    ]
    assert sizes == [8, 16, 24, 32]


def test_iters_and_seed():
    cfg = row_config(ROWS['table5/mg111'], iters=7, seed=3)
    assert (cfg.train_cfg.max_iters, cfg.randomness.seed) == (7, 3)


@pytest.mark.parametrize(
    'row_id,dataset,options,message',
    [
        ('table12/os8', 'camvid', {}, 'table12/os8 is about Cityscapes: run it without --dataset'),
        (
            'table9/batch4',
            'camvid',
            {'train_dataloader.batch_size': 6},
            'takes 4/16 of the batch, and train_dataloader.batch_size is 6: give a multiple of 4',
        ),
        (
            'table5/mg111',
            None,
            {'model.decode_head.rates': (1,)},
            'sets model.decode_head.rates, which is what table5/mg111 itself sets',
        ),
    ],
)
def test_what_cannot_be_run_is_refused(row_id, dataset, options, message):
    with pytest.raises(ValueError, match=message):
        row_config(ROWS[row_id], dataset, options)


def test_a_missing_configs_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr('paper_tables.config.CONFIGS', tmp_path)
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}.* need the configs/ of a checkout'):
        base_config(replace(ROWS['table5/mg111'], base='gone.py'))


def test_weights_that_a_row_needs(tmp_path):
    coco, no_bn = ROWS['table6/coco'], ROWS['table8/no-bn']
    assert 'starts from work_dirs/deeplabv3x_r101_os16_coco/iter_30000.pth' in missing_weights(
        coco, row_config(coco)
    )
    weights = tmp_path / 'coco.pth'
    weights.touch()
    assert missing_weights(coco, row_config(coco, options={'load_from': str(weights)})) == ''
    assert missing_weights(no_bn, row_config(no_bn)) == ''  # from ImageNet
    assert 'freezes BN' in missing_weights(no_bn, row_config(no_bn, 'camvid'))


def test_a_written_config_is_the_same_config(tmp_path):
    cfg = row_config(ROWS['table6/os8-ms-flip'])
    cfg.dump(tmp_path / 'row.py')
    assert differences(cfg, Config.fromfile(tmp_path / 'row.py')) == {}
    assert [path.name for path in tmp_path.iterdir()] == ['row.py']


def test_differences_are_found_in_nested_lists():
    ours, theirs = Config(dict(a=[dict(b=1), 2], c=3)), Config(dict(a=[dict(b=1), 4]))
    assert differences(ours, theirs) == {'a.1': (2, 4), 'c': (3, None)}


def test_the_bootstrapped_second_stage_wraps_the_plain_one():
    plain = Config.fromfile(CONFIGS / 'deeplabv3x_r101_stage2_os8_voc.py')
    path = CONFIGS / 'deeplabv3x_r101_stage2boot_os8_voc.py'
    wrapped = Config.fromfile(path)
    dataset = wrapped.train_dataloader.dataset
    assert dataset.type == 'BootstrapDataset' and dataset.times >= 2
    hard = ['bicycle', 'chair', 'diningtable', 'pottedplant', 'sofa']
    assert dataset.hard_classes == hard
    assert set(hard) <= set(DATASETS.get('PascalVOCDataset').METAINFO['classes'])
    wrapped.train_dataloader.dataset = dataset.dataset
    assert differences(wrapped, plain) == {}


def test_bootstrapping_doubles_images_with_hard_classes(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'deeplabv3x_r101_stage2boot_os8_voc.py')
    labels = dict(hard=[2, 9, 11, 16, 18], easy=[0, 1, 15, 17, 20])  # VOC's ids
    folders = ('JPEGImages/{}.jpg', 'SegmentationClass/{}.png')
    for name, ids in labels.items():
        for folder in folders:
            path = tmp_path / folder.format(name)
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.repeat(np.uint8([ids] * 40), 8, axis=1)).save(path)
    split = tmp_path / 'ImageSets/Segmentation/trainval.txt'
    split.parent.mkdir(parents=True)
    split.write_text('hard\neasy\n')
    dataset = cfg.train_dataloader.dataset
    dataset.dataset.data_root = str(tmp_path)
    init_default_scope('mmseg')
    built = DATASETS.build(dataset)
    names = [Path(built.get_data_info(i)['img_path']).stem for i in range(len(built))]
    assert sorted(names) == ['easy'] + ['hard'] * dataset.times

    # each time with an augmentation of its own: more of them than passes
    passes = 5
    loader = dict(cfg.train_dataloader, dataset=built, batch_size=passes * len(built))
    loader.update(num_workers=0, persistent_workers=False)
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    images = zip(batch['data_samples'], batch['inputs'])
    hard = [image for sample, image in images if sample.img_path.endswith('hard.jpg')]
    assert len(hard) == passes * dataset.times
    assert len({image.numpy().tobytes() for image in hard}) > passes


def test_fine_and_coarse_images_are_joined(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'deeplabv3x_r101_finecoarse_os16_cityscapes.py')
    places = [('train', 'Fine', 3), ('val', 'Fine', 2), ('train_extra', 'Coarse', 4)]
    for split, quality, count in places:
        for n in range(count):
            name = f'town_{n}'
            for folder, suffix in (
                ('leftImg8bit', '_leftImg8bit.png'),
                (f'gt{quality}', f'_gt{quality}_labelTrainIds.png'),
            ):
                path = tmp_path / folder / split / 'town' / (name + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    for part in cfg.train_dataloader.dataset.datasets:
        part.data_root = str(tmp_path)
    init_default_scope('mmseg')
    joined = DATASETS.build(cfg.train_dataloader.dataset)
    assert isinstance(joined, ConcatDataset) and len(joined) == 9
    labels = [part.get_data_info(0)['seg_map_path'] for part in joined.datasets]
    for label, (split, quality, _) in zip(labels, places):
        expected = tmp_path / f'gt{quality}/{split}/town/town_0_gt{quality}_labelTrainIds.png'
        assert label == str(expected)
