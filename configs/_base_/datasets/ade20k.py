"""ADE20K's 150 classes (SceneParse150): 20,210 images for training, 2,000 for evaluation.

Id 0 of its masks is "other" and is ignored: ``ADE20KDataset`` sets ``reduce_zero_label`` itself.
"""

_base_ = './native_scale.py'

data_root = 'data/ade/ADEChallengeData2016'
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=150),
    dict(type='RandomScaleCropFlip', crop_size=(513, 513)),
    dict(type='SplitPackSegInputs'),
]
val_dataset = dict(
    type='ADE20KDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
)
train_dataloader = dict(
    dataset=dict(
        type='ADE20KDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
