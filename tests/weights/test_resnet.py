import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe, fit


def test_plain_resnet_of_torchvision_and_timm(build):
    ours = build(type='AtrousResNet', depth=50).state_dict()
    report = convert(ours | {'fc.weight': torch.ones(1), 'fc.bias': torch.ones(1)})
    assert list(report.tensors) == [f'backbone.{key}' for key in ours]
    assert list(report.dropped) == ['fc.weight', 'fc.bias']


def test_deep_stem_of_timm(build):
    ours = build(type='AtrousResNet', depth=18, deep_stem=True).state_dict()
    timm = {
        key.replace('stem.7.', 'bn1.').replace('stem.', 'conv1.'): torch.randn_like(value.float())
        for key, value in ours.items()
    }
    report = fit(timm, ours)
    assert list(report.tensors) == list(ours)
    assert all(report.tensors[ours] is timm[theirs] for ours, theirs in zip(ours, timm))


@pytest.mark.parametrize('name', ['resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152'])
def test_every_tensor_of_torchvisions(name):
    models = pytest.importorskip('torchvision.models', reason='needs torchvision')
    with torch.device('meta'):
        state = getattr(models, name)().state_dict()
    report = convert(state)
    assert set(report.dropped) == {'fc.weight', 'fc.bias'}
    assert len(report.tensors) == len(state) - 2
    assert describe(report) == f'AtrousResNet(depth={name[6:]})'


@pytest.mark.parametrize(
    ('name', 'network'),
    {
        'resnet50': 'depth=50',
        'resnet50c': 'depth=50, deep_stem=True',
        'resnet18d': 'depth=18, deep_stem=True, avg_down=True',
        'resnet101d': 'depth=101, deep_stem=True, avg_down=True',
        'resnet101s': 'depth=101, deep_stem=(64, 64, 128)',
        'resnet50t': 'depth=50, deep_stem=(24, 32, 64), avg_down=True',
    }.items(),
)
def test_every_tensor_of_timms(name, network):
    timm = pytest.importorskip('timm', reason='needs timm')
    with torch.device('meta'):
        state = timm.create_model(name).state_dict()
    report = convert(state)
    assert set(report.dropped) == {'fc.weight', 'fc.bias'}
    assert len(report.tensors) == len(state) - 2
    assert describe(report) == f'AtrousResNet({network})'


@pytest.mark.parametrize(
    ('name', 'config'),
    {
        'resnet34': dict(depth=34),
        'resnet50c': dict(depth=50, deep_stem=True),
        'resnet18d': dict(depth=18, deep_stem=True, avg_down=True),
        'resnet50d': dict(depth=50, deep_stem=True, avg_down=True),
        'resnet50s': dict(depth=50, deep_stem=(64, 64, 128)),
        'resnet50t': dict(depth=50, deep_stem=(24, 32, 64), avg_down=True),
    }.items(),
)
@pytest.mark.parametrize('size', [(65, 97), (64, 90)])
def test_every_stem_gives_timms_maps_at_any_output_stride(
    name, config, size, build, lively, relative_error
):
    timm = pytest.importorskip('timm', reason='needs timm')
    theirs = lively(timm.create_model(name))
    ours = build(type='AtrousResNet', **config)
    ours.load_state_dict(theirs.state_dict())  # as it is
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = theirs.forward_features(image)
        for output_stride in (32, 16, 8):
            ours.set_output_stride(output_stride)
            step = 32 // output_stride
            assert relative_error(ours(image)[-1][..., ::step, ::step], expected) < 1e-5


@pytest.mark.parametrize(
    ('name', 'options'),
    {
        'resnet101': '',
        'resnet101c': 'deep_stem=True',
        'resnet101d': 'deep_stem=True avg_down=True',
        'resnet101s': 'deep_stem=64,64,128',
        'resnet50t': 'deep_stem=24,32,64 avg_down=True depth=50',
    }.items(),
)
def test_command_of_the_document(name, options, documented):
    timm = pytest.importorskip('timm', reason='needs timm')
    ours = documented('timm, `resnet', *(f'model.backbone.{option}' for option in options.split()))
    with torch.device('meta'):
        report = fit(timm.create_model(name).state_dict(), ours.state_dict())
    assert set(report.dropped) == {'fc.weight', 'fc.bias'}
    assert all(key.startswith('decode_head.') for key in report.missing)


def test_command_of_the_document_for_a_small_one(documented):
    small = 'backbone.depth=18', 'backbone.multi_grid=None', 'decode_head.in_channels=512'
    model = documented('torchvision, `resnet', *(f'model.{option}' for option in small))
    with torch.device('meta'):
        maps = model.extract_feat(torch.zeros(2, 3, 33, 33))
        assert model.decode_head(maps).shape[1] == 21
