"""Cityscapes for the test server: 3475 fine images (train and val) and 20000 coarse ones.

Paper: Table 13: 81.3 mIoU on Cityscapes test. Coarse images and labels are those of
``leftImg8bit_trainextra.zip`` and ``gtCoarse.zip``, of which ``tools/prepare_data.py cityscapes``
makes the train ids. val is trained on: the mIoU logged during training is no result.
"""

_base_ = './deeplabv3x_r101_os16_cityscapes.py'

# val is trained on: its mIoU cannot tell which checkpoint is best
default_hooks = dict(checkpoint=dict(save_best=None))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='CityscapesDataset',
                data_root={{_base_.data_root}},
                data_prefix=dict(
                    img_path=f'leftImg8bit/{split}', seg_map_path=f'gt{quality}/{split}'
                ),
                seg_map_suffix=f'_gt{quality}_labelTrainIds.png',
                pipeline={{_base_.train_pipeline}},
            )
            for split, quality in (('train', 'Fine'), ('val', 'Fine'), ('train_extra', 'Coarse'))
        ],
    )
)
