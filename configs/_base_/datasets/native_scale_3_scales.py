"""``native_scale.py`` with three scales in TTA, those of the paper's Cityscapes evaluation."""

_base_ = './native_scale.py'

tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in (0.75, 1.0, 1.25)
]
