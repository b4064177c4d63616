"""COCO 2017 in VOC's classes: ``python tools/prepare_data.py coco`` makes it."""

_base_ = './voc_aug.py'

data_root = 'data/coco_voc'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/train.txt',
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
