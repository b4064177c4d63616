"""Cityscapes, trained at output_stride 16, evaluated at 8.

Paper: Table 12: 77.82 mIoU on Cityscapes val; 79.30 with scales 0.75, 1, 1.25 and flip
(``tools/test.py --tta``).
"""

_base_ = './deeplabv3x_r101_os16_cityscapes.py'

model = dict(output_stride=dict(_delete_=True, train=16, test=8))
