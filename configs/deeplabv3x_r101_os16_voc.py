"""ResNet-101, Multi_Grid (1, 2, 4), ASPP (6, 12, 18) with image pooling, output_stride 16.

Paper: Table 5, last row, and Table 6, first row: 77.21 mIoU on VOC val.
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/voc_aug.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]
