import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe, fit
from mmseg_deeplabv3x.weights.smp import SOURCES


def conv_bn(conv, bn):
    return {
        f'decoder.{conv}.weight',
        *(f'decoder.{bn}.{last}' for last in ('weight', 'bias', 'running_mean', 'running_var')),
    }


@pytest.mark.parametrize('parts', [('aspp', 'conv', 'bn'), '012'], ids=['names', 'older numbers'])
def test_names_of_its_source_are_all_of_ours(parts, documented):
    """decoders/deeplabv3/decoder.py, and the names that its load_state_dict still takes."""
    ours = documented('segmentation_models.pytorch').state_dict()
    aspp, conv, bn = parts
    decoder = set().union(
        *(conv_bn(f'{aspp}.convs.{n}.0', f'{aspp}.convs.{n}.1') for n in range(4)),
        conv_bn(f'{aspp}.convs.4.1', f'{aspp}.convs.4.2'),
        conv_bn(f'{aspp}.project.0', f'{aspp}.project.1'),
        conv_bn(conv, bn),
        {'segmentation_head.0.weight', 'segmentation_head.0.bias'},
    )
    encoder = {key.replace('backbone.', 'encoder.') for key in ours if key.startswith('backbone.')}
    renamed = SOURCES[0].rename(encoder | decoder)
    report = fit({theirs: ours[key] for theirs, key in renamed.items()}, ours)
    assert (report.dropped, report.missing) == ({}, ())


@pytest.fixture
def smp():
    return pytest.importorskip(
        'segmentation_models_pytorch', reason='needs segmentation_models.pytorch'
    )


@pytest.mark.parametrize('depth', [18, 50])
def test_every_tensor_of_its_deeplabv3(smp, depth):
    state = smp.DeepLabV3(f'resnet{depth}', encoder_weights=None, classes=5).state_dict()
    report = convert(state)
    assert not report.dropped
    assert len(report.tensors) == len(state)
    assert describe(report) == f'AtrousResNet(depth={depth}, contract_dilation=False)'


def test_gives_its_logits(smp, build, lively, relative_error):
    theirs = lively(
        smp.DeepLabV3('resnet18', encoder_weights=None, classes=5, encoder_output_stride=8)
    )
    ours = build(
        type='DeepLabV3',
        output_stride=8,
        # every convolution of a block has the block's rate there, also the first
        backbone=dict(type='AtrousResNet', depth=18, contract_dilation=False),
        decode_head=dict(type='ImagePoolASPPHead', in_channels=512, num_classes=5, post_conv=True),
    )
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        small = ours.decode_head(ours.extract_feat(image))
        expected = theirs.segmentation_head[0](theirs.decoder(theirs.encoder(image)))
    assert relative_error(small, expected) < 1e-5
