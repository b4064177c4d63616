"""The cascade up to block7, trained at output_stride 16, evaluated at 8.

Paper: Table 4: 78.05 mIoU on VOC val; 79.35 with multi-scale and flip (``tools/test.py --tta``).
"""

_base_ = './deeplabv3x_r101_cascade7_os16_voc.py'

model = dict(output_stride=dict(_delete_=True, train=16, test=8))
