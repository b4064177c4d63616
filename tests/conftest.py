"""Small things to train on, shared by all tests."""

from __future__ import annotations

import pytest

# before any test imports mmseg: it makes mmseg importable
from mmseg_deeplabv3x.engine.hooks import speed_up_hook

pytest_plugins = [
    'tests.fixtures.checked_data',
    'tests.fixtures.memory_backend',
    'tests.fixtures.own_data',
    'tests.fixtures.published_data',
    'tests.fixtures.trained_model',
]


@pytest.fixture(scope='session', autouse=True)
def freed_memory_goes_back():
    """``--fast`` would let the whole process of the tests stay as large as it once became."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed_up_hook, 'keep_freed_memory', lambda: None)
        yield


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory):
    """Path of a tiny Shapes dataset: 6 images to train on and 3 to evaluate on, 72x96 pixels."""
    from common.shapes_generator import generate_shapes

    return generate_shapes(
        tmp_path_factory.mktemp('data') / 'shapes', num_train=6, num_val=3, size=(72, 96)
    )


@pytest.fixture(scope='session')
def tiny_config(shapes_root, tmp_path_factory):
    """Writer of config files of a tiny model on tiny data, for the tools to run on.

    ``tiny_config(name, {'train_cfg.max_iters': 2})`` gives the path of ``name.py``. Use each name
    once: the framework keeps visualizers and loggers by name for the length of a process.
    """
    from mmengine.config import Config

    def write(name: str, changes: dict | None = None) -> str:
        cfg = Config(_tiny_config(str(shapes_root), name))
        cfg.merge_from_dict(changes or {})
        path = tmp_path_factory.mktemp('configs') / f'{name}.py'
        cfg.dump(path)
        return str(path)

    return write


def _tiny_config(shapes_root: str, name: str) -> dict:
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    pack = dict(type='PackSegInputs')
    scales = [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.5, 1.0)]
    flips = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]

    def dataset(split, pipeline):
        return dict(
            type='ShapesDataset',
            data_root=shapes_root,
            ann_file=f'ImageSets/Segmentation/{split}.txt',
            pipeline=pipeline,
        )

    evaluation = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset('val', [*load, pack]),
    )
    return dict(
        custom_imports=dict(imports=['mmseg_deeplabv3x']),
        default_scope='mmseg',
        sync_bn='torch',
        model=dict(
            type='DeepLabV3',
            output_stride=dict(train=16, test=8),
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
                pad_val=0,
                seg_pad_val=255,
                size_divisor=1,
                test_cfg=dict(size_divisor=1),
            ),
            backbone=dict(type='AtrousResNet', depth=18, base_channels=8),
            decode_head=dict(type='ImagePoolASPPHead', in_channels=64, num_classes=9, channels=16),
            train_cfg={},
            test_cfg=dict(mode='whole'),
        ),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            dataset=dataset('train', [*load, dict(type='RandomCrop', crop_size=(65, 65)), pack]),
        ),
        val_dataloader=evaluation,
        test_dataloader=evaluation,
        val_evaluator=dict(type='IoUMetric'),
        test_evaluator=dict(type='IoUMetric'),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.007, momentum=0.9)),
        param_scheduler=dict(type='DeepLabPolyLR', by_epoch=False),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            visualization=dict(type='SegVisualizationHook'),
        ),
        log_processor=dict(by_epoch=False, window_size=1),
        visualizer=dict(
            type='SegLocalVisualizer', name=name, vis_backends=[dict(type='LocalVisBackend')]
        ),
        tta_model=dict(type='SegTTAModel'),
        tta_pipeline=[
            load[0],
            dict(type='TestTimeAug', transforms=[scales, flips, [load[1]], [pack]]),
        ],
    )
