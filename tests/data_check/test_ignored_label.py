import copy

import numpy as np
import pytest

from mmseg_deeplabv3x.data_check import check_before_training, check_data
from mmseg_deeplabv3x.data_check.ignored_label import ignored_label

LOADERS = ('train_dataloader', 'val_dataloader')


@pytest.fixture
def cfg(data):
    """Masks that ignore 11, and a config that says so in head, preprocessor and metric."""
    for i in range(11):
        labels = np.full((10, 12), 11, np.uint8)
        labels[0] = np.arange(12) % 4
        data.write_mask(i, labels)
    cfg = data.config()
    cfg.model = dict(
        decode_head=dict(type='FCNHead', num_classes=4, ignore_index=11),
        auxiliary_head=[dict(type='FCNHead', num_classes=4, ignore_index=11)],
        data_preprocessor=dict(type='SegDataPreProcessor', size=(8, 8), seg_pad_val=11),
    )
    cfg.val_evaluator = [dict(type='IoUMetric', ignore_index=11)]
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadCheckedAnnotations', num_classes=4),
        dict(type='RandomScaleCropFlip', crop_size=8),
        dict(type='RandomRotate', prob=0.5, degree=3),
        dict(type='PackSegInputs'),
    ]
    return cfg


def test_one_label_everywhere_is_accepted_and_the_pipeline_gets_it(cfg):
    check_before_training(cfg, LOADERS)
    steps = cfg.train_dataloader.dataset.pipeline
    assert [step.get('ignore_index') for step in steps] == [None, 11, 11, None, None]
    assert steps[3].seg_pad_val == 11
    report = check_data(cfg)
    assert report.problems == [] and report.pixels[0].sum(axis=0).tolist() == [24] * 4


def test_255_is_then_no_label(cfg, data):
    data.write_mask(2, np.full((10, 12), 255, np.uint8))
    with pytest.raises(ValueError, match=r'2.png .* 255 \(120 pixels\); expected 0 to 3 or 11'):
        check_before_training(cfg, LOADERS)


@pytest.mark.parametrize('place, default', [
    ('model.auxiliary_head', 255),
    ('model.data_preprocessor.seg_pad_val', 255),
    ('val_evaluator', 255),
    ('train_dataloader.dataset.pipeline.1.ignore_index', 254),
    ('train_dataloader.dataset.pipeline.2.pad_val.seg', 255),
])  # fmt: skip
def test_one_that_differs_is_named_with_all_others(cfg, place, default):
    steps = cfg.train_dataloader.dataset.pipeline
    if 'auxiliary' in place:
        cfg.model.auxiliary_head[0].pop('ignore_index')
    elif 'preprocessor' in place:
        cfg.model.data_preprocessor.pop('seg_pad_val')
    elif 'evaluator' in place:
        cfg.val_evaluator[0].pop('ignore_index')
    elif 'pad_val.seg' in place:
        steps.insert(2, dict(type='Pad', size=(20, 20)))
    else:
        steps[1].ignore_index = 254
    with pytest.raises(ValueError, match='The label of ignored pixels differs') as error:
        check_before_training(cfg, LOADERS)
    assert 'model.decode_head.ignore_index is 11' in str(error.value)
    assert place in str(error.value) and f' is {default}' in str(error.value)


def test_a_top_level_preprocessor_counts_where_the_runner_takes_it(cfg):
    cfg.data_preprocessor = dict(type='SegDataPreProcessor', size=(8, 8))
    assert ignored_label(cfg, LOADERS) == 11
    cfg.model.pop('data_preprocessor')
    with pytest.raises(ValueError, match=r' data_preprocessor.seg_pad_val is 255'):
        ignored_label(cfg, LOADERS)


def test_where_all_is_mmsegs_default_nothing_changes(cfg):
    cfg.model.decode_head.pop('ignore_index')
    cfg.model.auxiliary_head[0].pop('ignore_index')
    cfg.model.data_preprocessor.pop('seg_pad_val')
    cfg.val_evaluator = dict(type='IoUMetric')
    before = copy.deepcopy(cfg)
    assert ignored_label(cfg, LOADERS) == 255
    assert cfg.to_dict() == before.to_dict()


def test_a_test_pads_no_labels(cfg):
    cfg.model.data_preprocessor.seg_pad_val = 255
    assert ignored_label(cfg, ('val_dataloader',)) == 11


def test_a_head_under_tta_and_its_losses_are_looked_at(cfg):
    cfg.model.decode_head.loss_decode = dict(type='DiceLoss')
    with pytest.raises(ValueError, match=r'decode_head.loss_decode.ignore_index is 255'):
        ignored_label(cfg, ('train_dataloader',))
    cfg.model.decode_head.loss_decode.ignore_index = cfg.model.decode_head.ignore_index
    label = ignored_label(cfg, ('train_dataloader',))
    cfg.model = dict(type='RunningMeanTTAModel', module=cfg.model)
    assert ignored_label(cfg, ('train_dataloader',)) == label != 255


def test_steps_inside_tta_get_the_label(cfg):
    step = dict(type='LoadCheckedAnnotations', num_classes=3)
    cfg.train_dataloader.dataset.pipeline = [dict(type='TestTimeAug', transforms=[[step]])]
    label = ignored_label(cfg, ('train_dataloader',))
    (((inside,),),) = [step.transforms for step in cfg.train_dataloader.dataset.pipeline]
    assert inside.ignore_index == label


def test_evaluators_with_their_metrics_inside_are_looked_at(cfg):
    cfg.val_evaluator = dict(type='Evaluator', metrics=[dict(type='IoUMetric')])
    with pytest.raises(ValueError, match=r'val_evaluator.metrics.0.ignore_index is 255'):
        ignored_label(cfg, LOADERS)
    cfg.val_evaluator.metrics[0].ignore_index = 11
    assert ignored_label(cfg, LOADERS) == 11


def test_the_pipeline_of_a_dataset_that_mixes_images_is_looked_at(cfg):
    loader = cfg.train_dataloader
    steps = [dict(type='RandomMosaic', prob=1, img_scale=(8, 8)), dict(type='Pad', size=(20, 20))]
    loader.dataset = dict(type='MultiImageMixDataset', dataset=loader.dataset, pipeline=steps)
    with pytest.raises(ValueError, match=r'dataset.pipeline.1.pad_val.seg is 255'):
        ignored_label(cfg, LOADERS)
    loader.dataset.pipeline[1].pad_val = dict(seg=11)
    loader.dataset.pipeline[0].type = 'RandomRotate'
    assert ignored_label(cfg, LOADERS) == 11
    assert loader.dataset.pipeline[0].seg_pad_val == 11
