"""Shapes, the drawn data set: ``python tools/make_shapes.py`` makes it."""

_base_ = './native_scale.py'

data_root = 'data/shapes'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=(161, 161)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
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
