from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_deeplabv3x.weights import convert, describe, fit
from mmseg_deeplabv3x.weights.torchvision import pooling_first

CONFIGS = Path(__file__).parents[2] / 'configs'


def segmentation(name):
    models = pytest.importorskip('torchvision.models.segmentation', reason='needs torchvision')
    model = getattr(models, name)(weights=None, weights_backbone=None, aux_loss=True)
    return model.state_dict()


def test_projection_reads_the_image_level_branch_first():
    branches = torch.arange(5.0).repeat_interleave(4).expand(4, 20)[..., None, None]
    ours = pooling_first('decode_head.bottleneck.conv.weight', branches)
    assert ours[0, ::4].flatten().tolist() == [4, 0, 1, 2, 3]


@pytest.mark.parametrize('depth', [50, 101])
def test_every_tensor_of_deeplabv3_on_a_resnet(depth):
    state = segmentation(f'deeplabv3_resnet{depth}')
    report = convert(state)
    assert not report.dropped
    assert len(report.tensors) == len(state)
    assert describe(report) == f'AtrousResNet(depth={depth})'


def test_every_tensor_of_deeplabv3_on_mobilenetv3_is_one_of_timms():
    timm = pytest.importorskip('timm', reason='needs timm')
    report = convert(segmentation('deeplabv3_mobilenet_v3_large'))
    assert all(key.startswith('aux_classifier.') for key in report.dropped)
    network = timm.create_model('mobilenetv3_large_100', features_only=True).state_dict()
    backbone = {
        key.removeprefix('backbone.'): value
        for key, value in report.tensors.items()
        if key.startswith('backbone.')
    }
    assert backbone.keys() == network.keys()
    assert all(value.shape == network[key].shape for key, value in backbone.items())


def test_mobilenetv3_without_a_head():
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    report = convert(models.mobilenet_v3_large().state_dict())
    assert set(report.dropped.values()) == {'classifier of images'}
    assert len(report.dropped) == 4


def head(in_channels, **changes):
    """The head of torchvision's DeepLabv3."""
    return dict(
        type='ImagePoolASPPHead',
        in_channels=in_channels,
        num_classes=21,
        post_conv=True,
        align_corners=False,
        **changes,
    )


def logits(model, image):
    with torch.no_grad():
        return model.encode_decode(image, [dict(img_shape=image.shape[2:])] * len(image))


def test_deeplabv3_gives_torchvisions_logits(build, lively, relative_error):
    models = pytest.importorskip('torchvision.models.segmentation', reason='needs torchvision')
    theirs = models.deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    lively(theirs)
    ours = build(
        type='DeepLabV3',
        output_stride=8,
        backbone=dict(type='AtrousResNet', depth=50),
        decode_head=head(2048),
        auxiliary_head=dict(
            type='UpsampledFCNHead',
            in_channels=1024,
            in_index=2,
            channels=256,
            num_convs=1,
            concat_input=False,
            num_classes=21,
            norm_cfg=dict(type='BN'),
            align_corners=False,
        ),
    )
    ours.load_state_dict(theirs.state_dict())  # as it is
    image = torch.randn(2, 3, 97, 129)
    with torch.no_grad():
        expected = theirs(image)
        auxiliary = ours.auxiliary_head(ours.extract_feat(image))
    assert relative_error(logits(ours, image), expected['out']) < 1e-5
    auxiliary = torch.nn.functional.interpolate(auxiliary, image.shape[2:], mode='bilinear')
    assert relative_error(auxiliary, expected['aux']) < 1e-5


def test_plain_backbone_gives_torchvisions_bits(build, lively):
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    theirs = lively(models.resnet50())
    theirs.avgpool = theirs.fc = torch.nn.Identity()
    ours = build(type='AtrousResNet', depth=50, output_stride=32)
    ours.load_state_dict(models.resnet50().state_dict() | theirs.state_dict())
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        assert torch.equal(ours(image)[-1].flatten(1), theirs(image))


def mobilenetv3():
    """The model of our config."""
    pytest.importorskip('timm', reason='needs timm')
    return Config.fromfile(CONFIGS / 'deeplabv3x_mobilenetv3_os16_voc.py').model


@pytest.mark.parametrize('exact', [False, True])
def test_mobilenetv3_gives_torchvisions_logits(build, lively, relative_error, exact):
    models = pytest.importorskip('torchvision.models.segmentation', reason='needs torchvision')
    theirs = lively(
        models.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, aux_loss=True)
    )
    cfg = mobilenetv3()
    if exact:
        cfg.backbone.contract_dilation = True
        first = theirs.backbone['13'].block[1][0]  # the one whose stride was removed
        first.dilation, first.padding = (1, 1), (2, 2)
    ours = build(**cfg)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 129, 97)
    with torch.no_grad():
        assert relative_error(logits(ours, image), theirs(image)['out']) < 1e-5


def test_mobilenetv3_starts_from_torchvisions_images(build, lively, tmp_path):
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    theirs = lively(models.mobilenet_v3_large())
    torch.save(theirs.state_dict(), tmp_path / 'mobilenet_v3_large-8738ca79.pth')
    cfg = mobilenetv3()
    cfg.backbone.backbone.init_cfg.checkpoint = str(tmp_path / 'mobilenet_v3_large-8738ca79.pth')
    ours = build(**cfg.backbone, output_stride=32)
    ours.init_weights()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(image)[-1], theirs.features(image))


@pytest.mark.parametrize('name', ['deeplabv3_resnet101', 'deeplabv3_mobilenet_v3_large'])
def test_command_of_the_document(name, documented):
    ours = documented(f'torchvision, `{name.replace("101", "50")}`')
    with torch.device('meta'):
        state = segmentation(name)
    report = fit(state, ours.state_dict())
    assert report.missing == ()
    assert all(key.startswith('aux_classifier.') for key in report.dropped)
