"""What the config says, and that it says so for a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict

from mmseg_deeplabv3x.data_check.ignored_label import ignored_label
from mmseg_deeplabv3x.prepare.own_config import own_config

BASE = Path(__file__).parents[2] / 'configs/_base_'


@dataclass
class Data:
    images: str = "it's a folder"
    root: str = 'data/my'
    classes: list = field(default_factory=lambda: ['sky', 'a "b"', "it's"])
    palette: list = field(default_factory=lambda: [(0, 0, 0), (1, 1, 1), (2, 2, 2)])
    counts: dict = field(default_factory=lambda: dict(train=40, val=10))
    pixels: np.ndarray = field(default_factory=lambda: np.array([100, 40, 300]))
    size: tuple = (360, 480)


@pytest.fixture
def config(tmp_path):
    def config(data=None, depth=18, uncomment=(), **more):
        text = own_config(data or Data(), BASE, BASE, depth, **more)
        lines = text.split('\n')
        for first, last in uncomment:
            start = next(i for i, line in enumerate(lines) if line.startswith(f'# {first}'))
            end = next(i for i in range(start, len(lines)) if lines[i] == f'# {last}')
            lines[start : end + 1] = [line[2:] for line in lines[start : end + 1]]
        (tmp_path / 'my.py').write_text('\n'.join(lines))
        return Config.fromfile(tmp_path / 'my.py')

    return config


def test_names_of_all_kinds_arrive(config):
    cfg = config()
    assert cfg.train_dataloader.dataset.metainfo.classes == ('sky', 'a "b"', "it's")
    assert cfg.val_dataloader.dataset.data_prefix.img_path == "it's a folder"


@pytest.mark.parametrize(
    'size, crop', [((360, 480), 353), ((2000, 1500), 513), ((513, 600), 513), ((512, 600), 497)]
)
def test_the_crop_is_legal_and_fits(config, size, crop):
    cfg = config(Data(size=size))
    assert cfg.crop_size == (crop, crop) == cfg.model.data_preprocessor.size


def many(number):
    names = [f'a class of number {i}' for i in range(number)]
    return Data(
        classes=names, palette=[(i % 256, 0, 0) for i in range(number)], pixels=np.ones(number)
    )


@pytest.mark.parametrize('number, ignored', [(255, 255), (256, 65535), (1000, 65535)])
def test_what_does_not_count_is_no_class(config, number, ignored):
    cfg = config(many(number))
    assert list(cfg.classes) == many(number).classes
    assert cfg.model.decode_head.num_classes == number
    assert ignored_label(cfg, ('train_dataloader', 'val_dataloader', 'test_dataloader')) == ignored
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        kind = loader.dataset.pipeline[1]
        assert kind.get('ignore_index', 255) == ignored
        assert ignored == 255 or kind.type == 'LoadCheckedAnnotations'
    assert bool(cfg.tta_pipeline) == (ignored == 255)


@pytest.mark.parametrize('before, number', [(255, 1000), (65535, 3)])
def test_a_checkpoints_model_ignores_what_the_new_masks_do(config, before, number):
    heads = [dict(type='H', num_classes=2, ignore_index=before), dict(type='I', num_classes=2)]
    model = ConfigDict(
        type='DeepLabV3', backbone=dict(type='B'), decode_head=heads,
        data_preprocessor=dict(seg_pad_val=before),
    )  # fmt: skip
    cfg = config(many(number), weights='c.pth', model=model)
    expected = 255 if number == 3 else 65535
    assert [head.get('ignore_index', 255) for head in cfg.model.decode_head] == [expected] * 2
    assert cfg.model.data_preprocessor.seg_pad_val == expected


def test_the_length_is_that_of_50_passes(config):
    for trained, iterations, interval in ((400, 2500, 312), (40, 1000, 125), (99999, 30000, 3750)):
        cfg = config(Data(counts=dict(train=trained, val=10)))
        assert cfg.train_cfg.max_iters == iterations
        assert cfg.train_cfg.val_interval == interval
        assert cfg.default_hooks.checkpoint.interval == interval


def test_a_test_split_is_tested_on(config):
    assert config().test_dataloader.dataset.ann_file == 'data/my/val.txt'
    data = Data(counts=dict(train=4, val=1, test=1))
    assert config(data).test_dataloader.dataset.ann_file == 'data/my/test.txt'


def test_weights_mean_fine_tuning(config):
    cfg = config(depth=50, weights='w.pth')
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='w.pth')
    assert cfg.model.backbone.multi_grid == (1, 2, 4)
    assert (cfg.optim_wrapper.optimizer.lr, config().optim_wrapper.optimizer.lr) == (0.0035, 0.05)


def test_the_remedies_for_rare_classes_work_once_uncommented(config):
    cfg = config(uncomment=[('hard_classes =', ')'), ('class_weight =', ')')])
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'BootstrapDataset' and dataset.hard_classes == ['a "b"']
    assert dataset.dataset.type == 'BaseSegDataset' and 'pipeline' not in dataset
    assert cfg.model.decode_head.loss_decode.class_weight == [1.0, 2.5, 0.33]
    assert 'hard_classes' not in own_config(Data(pixels=np.ones(3)), BASE, BASE, 18)


def test_a_checkpoints_model_gets_the_new_classes(config):
    head = dict(type='H', num_classes=2, out_channels=1, threshold=0.3, loss_decode=dict(type='L'))
    extra = [dict(type='A', num_classes=2, loss_decode=dict(type='L', class_weight=[1, 2]))]
    model = ConfigDict(
        type='DeepLabV3', backbone=dict(type='B', init_cfg=dict(type='Pretrained')),
        decode_head=head, auxiliary_head=extra, data_preprocessor=dict(size_divisor=32, mean=[1]),
    )  # fmt: skip
    cfg = config(weights='c.pth', model=model)
    assert cfg.load_from == 'c.pth'
    assert cfg.model == dict(
        type='DeepLabV3', backbone=dict(type='B'), new_classifier=True,
        decode_head=dict(type='H', num_classes=3),
        auxiliary_head=[dict(type='A', num_classes=3, loss_decode=dict(type='L'))],
        data_preprocessor=dict(size=(353, 353), mean=[1]),
    )  # fmt: skip
    for kind in ('mmseg.DeepLabV3', 'mmseg_deeplabv3x.models.DeepLabV3'):
        assert config(weights='c.pth', model=ConfigDict(model, type=kind)).model.type == kind
    with pytest.raises(ValueError, match='c.pth holds a EncoderDecoder'):
        config(weights='c.pth', model=dict(model, type='EncoderDecoder'))
