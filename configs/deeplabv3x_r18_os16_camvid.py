"""CamVid with ResNet-18, from scratch: needs no pretrained weights. Not in the paper."""

_base_ = [
    './_base_/models/aspp_scratch_r18.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/poly_scratch.py',
    './_base_/runtime.py',
]

model = dict(data_preprocessor=dict(size=(321, 321)), decode_head=dict(num_classes=11))
