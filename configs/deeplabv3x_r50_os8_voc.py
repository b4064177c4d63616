"""ResNet-50, trained at output_stride 16, evaluated at 8. The paper has no such row."""

_base_ = './deeplabv3x_r50_os16_voc.py'

model = dict(output_stride=dict(_delete_=True, train=16, test=8))
