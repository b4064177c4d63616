"""Cityscapes, train_fine, output_stride 16, crop 769, 90K iterations.

Paper: Table 12: 77.23 mIoU on Cityscapes val.
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/cityscapes.py',
    './_base_/schedules/poly_90k.py',
    './_base_/runtime.py',
]

model = dict(data_preprocessor=dict(size=(769, 769)), decode_head=dict(num_classes=19))
