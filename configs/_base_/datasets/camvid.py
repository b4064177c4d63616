"""CamVid, 11 classes, 480x360: 367 images to train on and 101 to evaluate on."""

_base_ = './native_scale.py'

data_root = 'data/camvid'
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=11),
    dict(type='RandomNativeScale', ratio_range=(0.5, 2.0), step=0.25),
    dict(type='RandomCrop', crop_size=(321, 321)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='SplitPackSegInputs'),
]
val_dataset = dict(
    type='CamVidDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    dataset=dict(
        type='CamVidDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
