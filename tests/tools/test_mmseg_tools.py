"""mmseg's own tools/train.py on a stock config and one line of ours, with each part of ours."""

from __future__ import annotations

import re
from pathlib import Path

import mmseg
import pytest

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

STOCK = Path(mmseg.__file__).parent / '.mim'

# The stock DeepLabV3 on the stock dataset in the Shapes' place, narrow enough for a test.
CONFIG = """
_base_ = [
    '{stock}/configs/_base_/models/deeplabv3_r50-d8.py',
    '{stock}/configs/_base_/datasets/pascal_voc12.py',
    '{stock}/configs/_base_/default_runtime.py',
    '{stock}/configs/_base_/schedules/schedule_20k.py',
]
custom_imports = dict(imports=['mmseg_deeplabv3x'])
crop_size = (65, 65)
model = dict(
    data_preprocessor=dict(size=crop_size),
    pretrained=None,
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=16, num_classes=21),
    auxiliary_head=dict(in_channels=32, channels=8, num_classes=21))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='{shapes}',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=crop_size),
            dict(type='PackSegInputs'),
        ]))
train_cfg = dict(max_iters=2)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root='{shapes}'))
default_hooks = dict(logger=dict(interval=1))
visualizer = dict(name='{name}')
"""

BACKBONE = """
model.update(backbone=dict(
    _delete_=True, type='AtrousResNet', depth=18, base_channels=8, multi_grid=(1, 2)))
"""

HEAD = """
model.update(decode_head=dict(
    _delete_=True, type='ImagePoolASPPHead', in_channels=64, channels=16, num_classes=21,
    in_index=3, output_stride=8))
"""

WRAPPER = """
train_dataloader.update(dataset=dict(
    _delete_=True,
    type='BootstrapDataset',
    hard_classes=['bicycle'],
    times=3,
    cache_file='{cache}',
    dataset=dict(
        type='PascalVOCDataset',
        ann_file='ImageSets/Segmentation/train.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        **train_dataloader['dataset'])))
"""

SEGMENTOR = """
model.update(type='DeepLabV3', output_stride=dict(train=16, test=8))
model['decode_head'].pop('output_stride')
"""

PARTS = dict(
    stock='',
    backbone=BACKBONE,
    head=HEAD,
    wrapper=WRAPPER,
    together=BACKBONE.replace('depth=18', 'depth=18, output_stride=8') + HEAD + WRAPPER,
    segmentor=BACKBONE + HEAD + WRAPPER + SEGMENTOR,
)


@pytest.fixture(scope='module')
def trained(shapes_root, in_one_process, tmp_path_factory):
    """{part: (work dir, output)} of two iterations with each."""
    root = tmp_path_factory.mktemp('mmseg')
    lines = []
    for name, part in PARTS.items():
        values = dict(stock=STOCK, shapes=shapes_root, name=name, cache=root / f'{name}.npz')
        text = CONFIG + part
        for key, value in values.items():
            text = text.replace(f'{{{key}}}', str(value))
        (root / f'{name}.py').write_text(text)
        lines.append((STOCK / 'tools/train.py', root / f'{name}.py', '--work-dir', root / name))
    outputs = in_one_process(lines)
    return {name: (root / name, output) for name, output in zip(PARTS, outputs)}


@pytest.mark.parametrize('name', PARTS)
def test_two_iterations(trained, name):
    work_dir, output = trained[name]
    losses = re.findall(r'Iter\(train\) .*\[ *[12]/2\].* loss: (\S+)', output)
    assert len(losses) == 2
    assert all(0 < float(loss) < 20 for loss in losses)
    keys = read_checkpoint(str(work_dir / 'iter_2.pth'))['state_dict']
    assert 'backbone.layer4.1.conv2.weight' in keys
    assert 'decode_head.bottleneck.conv.weight' in keys


def test_each_run_had_its_part(trained):
    shapes = {
        name: state(path)['decode_head.bottleneck.conv.weight'].shape[-1]
        for name, (path, _) in trained.items()
    }
    ours = ('head', 'together', 'segmentor')
    assert shapes == {name: 1 if name in ours else 3 for name in PARTS}, 'our projection is 1x1'
    stems = {name: 'backbone.conv1.weight' in state(path) for name, (path, _) in trained.items()}
    ours = ('backbone', 'together', 'segmentor')
    assert stems == {name: name in ours for name in PARTS}, 'the stock stem is deep'
    told = {name: 'BootstrapDataset: ' in output for name, (_, output) in trained.items()}
    ours = ('wrapper', 'together', 'segmentor')
    assert told == {name: name in ours for name in PARTS}, 'it tells what it did'


def state(work_dir):
    return read_checkpoint(str(work_dir / 'iter_2.pth'))['state_dict']
