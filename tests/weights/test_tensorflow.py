"""Names and shapes as research/deeplab (resnet_v1_beta.py, model.py) and slim's mobilenet give."""

from pathlib import Path

import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe, read_weights

BN = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def conv(scope, kernel, inputs, outputs):
    yield f'{scope}/weights', (kernel, kernel, inputs, outputs)
    yield from ((f'{scope}/BatchNorm/{name}', (outputs,)) for name in BN)


def resnet(depth=50, beta=True):
    """Variables of resnet_v1_beta: the shortcut of each block's first unit is a convolution."""
    root = f'resnet_v1_{depth}'
    if beta:
        yield from conv(f'{root}/conv1_1', 3, 3, 64)
        yield from conv(f'{root}/conv1_2', 3, 64, 64)
        yield from conv(f'{root}/conv1_3', 3, 64, 128)
    else:
        yield from conv(f'{root}/conv1', 7, 3, 64)
    inputs = 128 if beta else 64
    for block, units in enumerate({50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth], 1):
        width = 64 * 2 ** (block - 1)
        for unit in range(1, units + 1):
            scope = f'{root}/block{block}/unit_{unit}/bottleneck_v1'
            if unit == 1:
                yield from conv(f'{scope}/shortcut', 1, inputs, 4 * width)
            yield from conv(f'{scope}/conv1', 1, inputs, width)
            yield from conv(f'{scope}/conv2', 3, width, width)
            yield from conv(f'{scope}/conv3', 1, width, 4 * width)
            inputs = 4 * width


def head(inputs, rates=3, classes=21):
    yield from conv('image_pooling', 1, inputs, 256)
    yield from conv('aspp0', 1, inputs, 256)
    for branch in range(1, rates + 1):
        yield from conv(f'aspp{branch}', 3, inputs, 256)
    yield from conv('concat_projection', 1, 256 * (2 + rates), 256)
    yield 'logits/semantic/weights', (1, 1, 256, classes)
    yield 'logits/semantic/biases', (classes,)


def mobilenet_v2():
    def unit(scope, inputs, expansion, outputs):
        if expansion > 1:
            yield from conv(f'{scope}/expand', 1, inputs, inputs * expansion)
        yield f'{scope}/depthwise/depthwise_weights', (3, 3, inputs * expansion, 1)
        yield from ((f'{scope}/depthwise/BatchNorm/{name}', (inputs * expansion,)) for name in BN)
        yield from conv(f'{scope}/project', 1, inputs * expansion, outputs)

    yield from conv('MobilenetV2/Conv', 3, 3, 32)
    yield from unit('MobilenetV2/expanded_conv', 32, 1, 16)
    inputs, number = 16, 0
    for units, outputs in ((2, 24), (3, 32), (4, 64), (3, 96), (3, 160), (1, 320)):
        for _ in range(units):
            number += 1
            yield from unit(f'MobilenetV2/expanded_conv_{number}', inputs, 6, outputs)
            inputs = outputs


def tensors(variables):
    return {name: torch.empty(shape, device='meta') for name, shape in variables}


def shapes(state):
    return {
        key: tuple(value.shape) for key, value in state.items() if 'num_batches_tracked' not in key
    }


@pytest.mark.parametrize('depth', [50, 101])
def test_plain_resnet_fits_ours_by_names_and_shapes(depth, build):
    report = convert(tensors(resnet(depth, beta=False)))
    ours = build(type='AtrousResNet', depth=depth).state_dict()
    assert shapes(report.tensors) == {f'backbone.{key}': s for key, s in shapes(ours).items()}
    assert not report.dropped


@pytest.mark.parametrize('depth', [50, 101])
def test_beta_with_the_head_of_deeplabv3(depth):
    report = convert(tensors([*resnet(depth), *head(2048)]))
    assert not report.dropped
    assert describe(report.tensors) == f'AtrousResNet(depth={depth}, deep_stem=(64, 64, 128))'


def test_head_fits_ours_by_names_and_shapes(build):
    ours = build(
        type='ImagePoolASPPHead', in_channels=2048, num_classes=21, rates=(6, 12, 18)
    ).state_dict()
    report = convert(tensors([*resnet(beta=False), *head(2048)]))
    found = {key: s for key, s in shapes(report.tensors).items() if 'decode_head' in key}
    assert found == {f'decode_head.{key}': s for key, s in shapes(ours).items()}


def test_mobilenet_v2_fits_timms_by_names_and_shapes():
    timm = pytest.importorskip('timm', reason='needs timm')
    report = convert(tensors([*mobilenet_v2(), *head(320, rates=0)]))
    network = timm.create_model('mobilenetv2_100', features_only=True).state_dict()
    found = {key: s for key, s in shapes(report.tensors).items() if key.startswith('backbone.')}
    assert found == {f'backbone.{key}': s for key, s in shapes(network).items()}


def test_mobilenet_v2_is_told_from_resnet():
    report = convert(tensors([*mobilenet_v2(), *head(320, rates=0)]))
    assert report.source.name == 'TensorFlow MobileNetV2'
    assert not report.dropped


def test_filters_are_transposed_and_moving_averages_taken():
    average = '/ExponentialMovingAverage'
    state = {name: torch.randn(shape) for name, shape in mobilenet_v2()}
    weights, depthwise = 'MobilenetV2/Conv/weights', (
        'MobilenetV2/expanded_conv_3/depthwise/depthwise_weights'
    )  # fmt: skip
    averaged = {name + average: torch.randn_like(state[name]) for name in (weights, depthwise)}
    report = convert(state | averaged | {weights + '/Momentum': torch.ones(1)})
    # torch: (out, in, height, width)
    torch.testing.assert_close(
        report.tensors['backbone.conv_stem.weight'][5, 2, 0, 1],
        averaged[weights + average][0, 1, 2, 5],
    )
    torch.testing.assert_close(
        report.tensors['backbone.blocks.2.0.conv_dw.weight'][7, 0, 2, 1],
        averaged[depthwise + average][2, 1, 7, 0],
    )
    assert report.dropped == {
        weights: 'its moving average is taken',
        depthwise: 'its moving average is taken',
        weights + '/Momentum': 'state of an optimizer',
    }


def test_what_is_no_part_is_named():
    extra = ['resnet_v1_50/logits/weights', 'global_step', 'decoder/feature_projection0/weights',
             'aspp1_depthwise/depthwise_weights', 'aspp1_pointwise/BatchNorm/beta']  # fmt: skip
    report = convert(tensors([*resnet(), *((name, (1,)) for name in extra)]))
    assert report.dropped == dict(
        zip(
            extra,
            ['classifier of images', 'number of the iteration', *['part of DeepLabv3+'] * 3],
        )
    )


def test_checkpoint_that_tensorflow_wrote(build):
    state = read_weights(Path(__file__).parent / 'saved_by_tensorflow/model.ckpt')
    report = convert(state)
    unit = 'backbone.layer1.0'
    assert {key.rpartition('.')[0] for key in report.tensors} == {
        *(f'{unit}.conv{n}' for n in (1, 2, 3)),
        *(f'{unit}.bn{n}' for n in (1, 2, 3)),
        f'{unit}.downsample.0',
        f'{unit}.downsample.1',
    }
    assert set(report.dropped) == {'global_step', 'flag', 'empty_half'}
