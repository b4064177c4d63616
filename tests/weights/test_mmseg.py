import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_deeplabv3x.weights import convert, describe, fit


def stock_deeplab(**backbone):
    init_default_scope('mmseg')
    head = dict(in_index=-1, channels=16, num_classes=3, norm_cfg=dict(type='BN'))
    return MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            backbone=dict(depth=18, **backbone),
            decode_head=dict(type='ASPPHead', in_channels=512, dilations=(1, 12, 24, 36), **head),
            auxiliary_head=dict(
                type='FCNHead', in_channels=256, num_convs=1, concat_input=False, **head
            )
            | dict(in_index=2),
            test_cfg=dict(mode='whole'),
        )
    )


def test_stock_deeplabv3_goes_into_ours_whole(build):
    stock = stock_deeplab(type='ResNetV1c').state_dict()
    ours = build(
        type='DeepLabV3',
        backbone=dict(type='AtrousResNet', depth=18, deep_stem=True),
        decode_head=dict(
            type='ImagePoolASPPHead',
            in_channels=512,
            channels=16,
            num_classes=3,
            projection_kernel=3,
        ),
        auxiliary_head=dict(
            type='UpsampledFCNHead',
            in_channels=256,
            in_index=2,
            channels=16,
            num_convs=1,
            concat_input=False,
            num_classes=3,
            norm_cfg=dict(type='BN'),
        ),
    ).state_dict()
    report = fit(stock, ours)
    assert (report.dropped, report.missing, set(report.tensors)) == ({}, (), set(ours))
    assert report.source.name == 'mmseg'


def test_backbone_alone_of_resnetv1d():
    state = stock_deeplab(type='ResNetV1d').backbone.state_dict()
    report = convert(state | {'head.fc.weight': torch.ones(1)})
    assert set(report.tensors) == {f'backbone.{key}' for key in state}
    assert describe(report) == 'AtrousResNet(depth=18, deep_stem=True, avg_down=True)'


def test_preprocessor_is_dropped_by_name(build):
    state = {f'backbone.{k}': v for k, v in build(type='ResNet', depth=18).state_dict().items()}
    report = convert(state | {'data_preprocessor.mean': torch.ones(3)})
    assert report.dropped == {'data_preprocessor.mean': 'the config has the preprocessor'}


def test_command_of_the_document(documented):
    stock = get_config('mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py').model
    stock.backbone.norm_cfg.type = stock.decode_head.norm_cfg.type = 'BN'
    stock.auxiliary_head.norm_cfg.type = 'BN'
    ours = documented('mmseg, DeepLabV3').state_dict()
    with torch.device('meta'):
        report = fit(MODELS.build(stock).state_dict(), ours)
    assert (report.dropped, report.missing) == ({}, ())


def test_command_of_the_document_for_a_backbone(documented):
    more = 'model.backbone.deep_stem=True', 'model.backbone.avg_down=True'
    ours = documented('mmseg, mmpretrain', *more).state_dict()
    with torch.device('meta'):
        state = MODELS.build(dict(type='ResNetV1d', depth=101)).state_dict()
    report = fit(state, ours)
    assert len(report.tensors) == len(state)
    assert all(key.startswith('decode_head.') for key in report.missing)
