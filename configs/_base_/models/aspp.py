"""ASPP with image pooling, the paper's best (Table 5, last row): Multi_Grid (1, 2, 4)."""

# Fine-tuning ImageNet's statistics: momentum is 1 - decay, and the paper's decay is 0.9997
norm_cfg = dict(type='BN', momentum=0.0003)

model = dict(
    type='DeepLabV3',
    output_stride=16,
    freeze_bn=False,
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # a crop larger than the image is filled here, after normalisation: 0 is the mean colour
        size=(513, 513),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='AtrousResNet',
        depth=101,
        multi_grid=(1, 2, 4),
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'),
    ),
    decode_head=dict(
        type='ImagePoolASPPHead',
        in_channels=2048,
        channels=256,
        rates=(6, 12, 18),
        image_pool=True,
        num_classes=21,
        norm_cfg=norm_cfg,
    ),
    train_cfg={},
    test_cfg=dict(mode='whole'),
)
