"""The paper's second stage: official trainval, output_stride 8, all BN frozen, lr 0.001.

Starts from the last checkpoint of deeplabv3x_r101_os16_voc.py in its default work_dir; name
another with ``--cfg-options load_from=FILE``. The paper gives no val number for it, since val is
trained on; its results are those of the test server (Table 7).
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/voc_trainval.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]

model = dict(output_stride=8, freeze_bn=True, backbone=dict(init_cfg=None))
optim_wrapper = dict(optimizer=dict(lr=0.001))
# val is trained on: its mIoU cannot tell which checkpoint is best
default_hooks = dict(checkpoint=dict(save_best=None))
load_from = 'work_dirs/deeplabv3x_r101_os16_voc/iter_30000.pth'
