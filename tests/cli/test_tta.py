from __future__ import annotations

from pathlib import Path

import mmseg
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_deeplabv3x.cli import tta as views

ROOT = Path(__file__).parents[2]
STOCK = Path(mmseg.__file__).parent / '.mim' / 'configs'


def shown(pipeline):
    """(scale, mirrored) of every view of a tta_pipeline, in order."""
    scales, flips = (
        next(choices for choices in pipeline[-1].transforms if choices[0]['type'] == kind)
        for kind in ('Resize', 'RandomFlip')
    )
    assert all(scale['keep_ratio'] for scale in scales)
    return [(scale['scale_factor'], flip['prob']) for scale in scales for flip in flips]


# ---------------------------------------------------------------- scales and flip


@pytest.fixture(params=['configs/_base_/datasets/shapes.py', 'datasets/pascal_voc12.py'])
def pipeline(request):
    """The tta_pipeline of a config of ours, and of a stock one."""
    root = ROOT if request.param.startswith('configs') else STOCK / '_base_'
    return Config.fromfile(root / request.param).tta_pipeline


def test_scales_and_flip_are_set_apart(pipeline):
    before = shown(pipeline)
    views.set_views(pipeline)
    assert shown(pipeline) == before
    views.set_views(pipeline, scales=[0.5, 1.5])
    assert shown(pipeline) == [(0.5, 0), (0.5, 1), (1.5, 0), (1.5, 1)]
    views.set_views(pipeline, flip=False)
    assert shown(pipeline) == [(0.5, 0), (1.5, 0)]
    views.set_views(pipeline, [1.0], True)
    assert shown(pipeline) == [(1.0, 0), (1.0, 1)]
    assert [step[0]['type'] for step in pipeline[-1].transforms[2:]] == [
        'LoadAnnotations',
        'PackSegInputs',
    ]


def test_views_that_a_pipeline_lacks_are_added():
    cfg = Config(dict(tta_pipeline=[dict(type='TestTimeAug', transforms=[[dict(type='Pack')]])]))
    views.set_views(cfg.tta_pipeline, [0.5, 1.0], True)
    assert shown(cfg.tta_pipeline) == [(0.5, 0), (0.5, 1), (1.0, 0), (1.0, 1)]
    assert cfg.tta_pipeline[0].transforms[-1] == [dict(type='Pack')]


def test_a_pipeline_without_views_is_named():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    with pytest.raises(ValueError, match='no TestTimeAug.*: LoadImageFromFile, PackSegInputs'):
        views.set_views(pipeline, [1.0])


@pytest.mark.parametrize(
    'labels', [[], ['LoadAnnotations'], ['mmseg.LoadAnnotations'], ['LoadCheckedAnnotations']]
)
def test_a_test_pipeline_gets_the_papers_views_of_the_native_image(labels, tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / 'image.png')
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / 'labels.png')
    plain = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(30, 20), keep_ratio=True),
        *(dict(type=name) for name in labels),
        dict(type='PackSegInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmseg'):
        augment = Compose(views.tta_pipeline(plain))
        files = dict(img_path=str(tmp_path / 'image.png'), seg_map_path=tmp_path / 'labels.png')
        data = augment(dict(files, seg_fields=[], reduce_zero_label=False))
    sizes = [tuple(image.shape) for image in data['inputs']]
    widths = [round(60 * scale) for scale in (0.5, 0.75, 1, 1.25, 1.5, 1.75) for _ in range(2)]
    assert sizes == [(3, width * 2 // 3, width) for width in widths]
    assert [sample.flip for sample in data['data_samples']] == [False, True] * 6
    for sample in data['data_samples']:
        assert ('gt_sem_seg' in sample) == bool(labels)
        if labels:
            assert sample.gt_sem_seg.shape == (40, 60), 'the labels of the image itself'


@pytest.mark.parametrize(
    'own', [[], ['tta_model'], ['tta_pipeline'], ['tta_model', 'tta_pipeline']]
)
def test_what_a_config_lacks_for_tta_is_the_default(own):
    given = dict(
        tta_model=dict(type='SegTTAModel'),
        tta_pipeline=[
            dict(type='Mine'),
            dict(type='TestTimeAug', transforms=[[dict(type='Resize', scale_factor=2.0)]]),
        ],
    )
    plain = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg = Config(
        dict(
            {key: given[key] for key in own},
            model=dict(type='EncoderDecoder'),
            test_dataloader=dict(dataset=dict(pipeline=plain)),
        )
    )
    views.use_tta(cfg, flip=False)
    kind = 'SegTTAModel' if 'tta_model' in own else 'RunningMeanTTAModel'
    assert cfg.model == dict(type=kind, module=dict(type='EncoderDecoder'))
    used = cfg.test_dataloader.dataset.pipeline
    first, scales = ('Mine', [2.0]) if 'tta_pipeline' in own else ('LoadImageFromFile', None)
    assert used[0].type == first
    choices = next(c for c in used[-1].transforms if c[0]['type'] == 'Resize')
    assert [c['scale_factor'] for c in choices] == (scales or list(views.VOC_SCALES))
    flips = next(c for c in used[-1].transforms if c[0]['type'] == 'RandomFlip')
    assert [flip['prob'] for flip in flips] == [0.0]


def test_wrapped_datasets_are_refused():
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[]))))
    with pytest.raises(ValueError, match='--tta changes .*pipeline, and the ConcatDataset'):
        views.use_tta(cfg)


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda path: path.stem
)
def test_every_config_of_ours_takes_the_flags(path):
    cfg = Config.fromfile(path)
    views.use_tta(cfg, [0.5, 1.5], False)
    assert cfg.model.type in ('RunningMeanTTAModel', 'SegTTAModel')
    assert shown(cfg.test_dataloader.dataset.pipeline) == [(0.5, 0), (1.5, 0)]
