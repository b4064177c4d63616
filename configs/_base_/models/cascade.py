"""The cascade up to block7, classified by one 1x1 convolution: Multi_Grid (1, 2, 1)."""

_base_ = './aspp.py'

model = dict(
    backbone=dict(multi_grid=(1, 2, 1)),
    neck=dict(
        type='CascadeNeck',
        depth=101,
        num_blocks=3,
        multi_grid=(1, 2, 1),
        norm_cfg=dict(type='BN', momentum=0.0003),
    ),
    decode_head=dict(
        _delete_=True,
        type='UpsampledFCNHead',
        num_convs=0,
        concat_input=False,
        in_channels=2048,
        channels=2048,
        num_classes=21,
        dropout_ratio=0.1,
        align_corners=True,
    ),
)
