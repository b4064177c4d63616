"""Shapes, the drawn dataset: ``python tools/make_shapes.py`` makes it."""

_base_ = './native_scale_3_scales.py'

data_root = 'data/shapes'
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=9),
    dict(type='RandomCrop', crop_size=(145, 193)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='SplitPackSegInputs'),
]
val_dataset = dict(
    type='ShapesDataset', data_root=data_root, ann_file='ImageSets/Segmentation/val.txt'
)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(
        type='ShapesDataset',
        data_root=data_root,
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(num_workers=1, dataset=val_dataset)
test_dataloader = dict(num_workers=1, dataset=val_dataset)
