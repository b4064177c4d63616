"""CamVid with ResNet-50, from ImageNet weights. Not in the paper.

4K iterations are too few for the paper's BN decay (0.9997), so BN has PyTorch's own momentum.
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]

norm_cfg = dict(type='BN', momentum=0.1)
model = dict(
    data_preprocessor=dict(size=(321, 321)),
    backbone=dict(depth=50, norm_cfg=norm_cfg, init_cfg=dict(checkpoint='torchvision://resnet50')),
    decode_head=dict(num_classes=11, norm_cfg=norm_cfg),
)
train_cfg = dict(max_iters=4000, val_interval=500)
