"""PASCAL VOC 2012's official trainval (2,913 images), for the second stage.

val is part of it: the mIoU logged during training is no result. Results come from the test
server.
"""

_base_ = './voc_aug.py'

train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/trainval.txt',
    )
)
