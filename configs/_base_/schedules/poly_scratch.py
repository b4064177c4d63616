"""Short runs without pretrained weights: a higher rate, reached after a warm-up."""

_base_ = './poly_30k.py'

train_cfg = dict(max_iters=4000, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=50, by_epoch=False),
    dict(type='DeepLabPolyLR', power=0.9, begin=50, by_epoch=False),
]
