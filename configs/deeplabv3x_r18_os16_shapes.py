"""Shapes with a half-width ResNet-18, from scratch: what ``make demo`` trains."""

_base_ = [
    './_base_/models/aspp_scratch_r18.py',
    './_base_/datasets/shapes.py',
    './_base_/schedules/poly_scratch.py',
    './_base_/runtime.py',
]

model = dict(
    data_preprocessor=dict(size=(145, 193)),
    backbone=dict(base_channels=32),
    decode_head=dict(in_channels=256, channels=64, num_classes=9),
)
# short and at a high rate: some two minutes on two cores
train_cfg = dict(max_iters=400, val_interval=400)
optim_wrapper = dict(optimizer=dict(lr=0.3))
