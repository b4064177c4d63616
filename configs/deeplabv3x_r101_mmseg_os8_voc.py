"""mmseg's published DeepLabV3, built from our parts: its checkpoint loads and gives its output.

Not the paper's model (docs/differences.md says why). All that is not the network - data, pipelines,
schedule - stays as in the stock config that it was trained with. mmseg's own table gives it 77.92
mIoU on VOC val; 79.18 with multi-scale and flip (``tools/test.py --tta``). To evaluate it, give
``tools/test.py`` this config and the file or URL below.
"""

_base_ = 'mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py'

custom_imports = dict(imports=['mmseg_deeplabv3x'])
# plain BN in place of the stock SyncBN; the runner converts it where it runs on several GPUs
sync_bn = 'torch'

model = dict(
    type='DeepLabV3',
    output_stride=8,
    pretrained=None,
    backbone=dict(_delete_=True, type='AtrousResNet', depth=101, deep_stem=True),
    decode_head=dict(
        _delete_=True,
        type='ImagePoolASPPHead',
        in_channels=2048,
        channels=512,
        projection_kernel=3,
        num_classes=21,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    auxiliary_head=dict(norm_cfg=dict(type='BN')),
)
load_from = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3/'
    'deeplabv3_r101-d8_512x512_40k_voc12aug/'
    'deeplabv3_r101-d8_512x512_40k_voc12aug_20200613_161432-0017d784.pth'
)
