"""Cityscapes: crop 769, whole images in evaluation (paper, appendix C)."""

_base_ = './native_scale_3_scales.py'

data_root = 'data/cityscapes'
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='RandomScaleCropFlip', crop_size=(769, 769)),
    dict(type='SplitPackSegInputs'),
]
val_dataset = dict(
    type='CityscapesDataset',
    data_root=data_root,
    data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
)
train_dataloader = dict(
    num_workers=8,  # a sample takes 7 times as long as one of PASCAL VOC, most of it decoding PNG
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
