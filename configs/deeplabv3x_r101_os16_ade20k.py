"""ADE20K, 150 classes, crop 513, output_stride 16. Not in the paper, nor trained by us.

80K iterations are the shorter of the two lengths at which mmseg trains its DeepLabV3 on ADE20K;
rate, power and batch are the paper's. Images keep their own size, where mmseg makes the shorter
side 512, so mIoU of the two are not the same measurement.
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]

model = dict(decode_head=dict(num_classes=150))
train_cfg = dict(max_iters=80000, val_interval=8000)
