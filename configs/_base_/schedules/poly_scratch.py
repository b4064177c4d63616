"""Short runs without pretrained weights, at a higher rate."""

_base_ = './poly_30k.py'

train_cfg = dict(max_iters=4000, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=0.05))
auto_scale_lr = dict(base_batch_size=8)  # what these configs train with
