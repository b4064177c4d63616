"""ResNet-18 without pretrained weights.

Fresh BN statistics need a faster momentum than fine-tuned ones: at the paper's 0.0003 they are
still mostly their initial values after 1000 iterations.
"""

_base_ = './aspp.py'

norm_cfg = dict(type='BN', momentum=0.1)
model = dict(
    backbone=dict(depth=18, multi_grid=None, norm_cfg=norm_cfg, init_cfg=None),
    decode_head=dict(in_channels=512, norm_cfg=norm_cfg),
)
