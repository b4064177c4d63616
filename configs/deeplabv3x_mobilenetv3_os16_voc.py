"""MobileNetV3-Large of timm, a network for small devices. Not in the paper.

Needs timm, `pip install -e '.[timm]'`, which downloads the weights; `pretrained_cfg_overlay=
dict(file=PATH)` in the inner config takes them from a file.
"""

_base_ = './deeplabv3x_r101_os16_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='AtrousBackbone',
        backbone=dict(
            type='TIMMBackbone',
            model_name='mobilenetv3_large_100',
            pretrained=True,
            bn_momentum=0.0003,
        ),
    ),
    decode_head=dict(in_channels=960),
)
