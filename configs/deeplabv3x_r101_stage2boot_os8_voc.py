"""The second stage with bootstrapping: images that hold a hard class appear several times.

Paper: section 4.3, for the test server (Table 7: 85.7). It does not say how many times; ``times``
is ours.
"""

_base_ = './deeplabv3x_r101_stage2_os8_voc.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='BootstrapDataset',
        dataset={{_base_.train_dataloader.dataset}},
        hard_classes=['bicycle', 'chair', 'diningtable', 'pottedplant', 'sofa'],
        times=2,
    )
)
