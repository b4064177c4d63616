"""Cityscapes: 90K iterations (paper, appendix C)."""

_base_ = './poly_30k.py'

train_cfg = dict(max_iters=90000, val_interval=5000)
