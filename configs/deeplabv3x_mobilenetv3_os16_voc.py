"""MobileNetV3-Large, the network of torchvision's `deeplabv3_mobilenet_v3_large`. Not in the paper.

Needs timm, `pip install -e '.[timm]'`. It starts from torchvision's ImageNet weights; torchvision's
whole network is loaded as it is by `load_from=deeplabv3_mobilenet_v3_large-fc3c493d.pth`.
"""

_base_ = './deeplabv3x_r101_os16_voc.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='AtrousBackbone',
        backbone=dict(
            type='TIMMBackbone',
            model_name='mobilenetv3_large_100',
            pretrained=False,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://mobilenet_v3_large'),
            bn_eps=1e-3,
            bn_momentum=0.0003,
        ),
        contract_dilation=False,
    ),
    decode_head=dict(in_channels=960, rates=(12, 24, 36), post_conv=True, align_corners=False),
)
