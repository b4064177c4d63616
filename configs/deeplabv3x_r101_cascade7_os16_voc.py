"""ResNet-101 and the cascade up to block7, Multi_Grid (1, 2, 1), output_stride 16.

Paper: Table 3 and Table 4, first row: 76.66 mIoU on VOC val.
"""

_base_ = [
    './_base_/models/cascade.py',
    './_base_/datasets/voc_aug.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]
