"""CamVid with EfficientNet-Lite0 of timm, from ImageNet weights. Not in the paper.

Needs timm, `pip install -e '.[timm]'`, which downloads the weights; `pretrained_cfg_overlay=
dict(file=PATH)` in the inner config takes them from a file.

The learning rate is the best of those compared in docs/results.md; the paper's is 0.007.
"""

_base_ = './deeplabv3x_r50_os16_camvid.py'

model = dict(
    # what the weights were trained with
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='AtrousBackbone',
        backbone=dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0', pretrained=True),
    ),
    decode_head=dict(in_channels=320),
)
optim_wrapper = dict(optimizer=dict(lr=0.05))
