"""ResNet-50 in place of ResNet-101. The paper has no such row."""

_base_ = './deeplabv3x_r101_os16_voc.py'

model = dict(backbone=dict(depth=50, init_cfg=dict(checkpoint='torchvision://resnet50')))
