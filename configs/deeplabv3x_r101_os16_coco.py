"""Pre-training on COCO: what the paper's last row of Table 6 starts from.

``tools/paper.py run table6/coco`` goes on from its last checkpoint in its default work_dir. The
paper tells neither rate nor length of this training; both are those of the first stage.
"""

_base_ = [
    './_base_/models/aspp.py',
    './_base_/datasets/coco_voc.py',
    './_base_/schedules/poly_30k.py',
    './_base_/runtime.py',
]
