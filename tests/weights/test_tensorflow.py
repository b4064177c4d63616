"""Names and shapes as research/deeplab (resnet_v1_beta.py, model.py) and slim's mobilenet give."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_deeplabv3x.weights import convert, describe, fit, read_weights

BN = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def conv(scope, kernel, inputs, outputs):
    yield f'{scope}/weights', (kernel, kernel, inputs, outputs)
    yield from ((f'{scope}/BatchNorm/{name}', (outputs,)) for name in BN)


def resnet(depth=50, beta=True, base=64):
    """Variables of resnet_v1_beta: the shortcut of each block's first unit is a convolution."""
    root = f'resnet_v1_{depth}'
    if beta:
        yield from conv(f'{root}/conv1_1', 3, 3, base)
        yield from conv(f'{root}/conv1_2', 3, base, base)
        yield from conv(f'{root}/conv1_3', 3, base, 2 * base)
    else:
        yield from conv(f'{root}/conv1', 7, 3, base)
    inputs = 2 * base if beta else base
    for block, units in enumerate({50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth], 1):
        width = base * 2 ** (block - 1)
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
    assert (
        describe(report)
        == f'AtrousResNet(depth={depth}, deep_stem=(64, 64, 128), strides_last=True)'
    )


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


def numpy_conv(x, weights, stride=1, rate=1):
    """slim's conv2d_same of (height, width, channels): padded alike on both sides, then strided."""
    size = weights.shape[0]
    pad = rate * (size // 2)
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    height, width = (-(-side // stride) for side in x.shape[:2])
    result = np.zeros((height, width, weights.shape[3]))
    for row in range(size):
        for column in range(size):
            seen = padded[row * rate :, column * rate :][: x.shape[0] : stride]
            result += seen[:height, : x.shape[1] : stride] @ weights[row, column]
    return result


def numpy_resnet(x, variables, output_stride):
    """resnet_v1_50_beta of slim at an output_stride, in float64."""

    def layer(x, scope, relu=True, **where):
        x = numpy_conv(x, variables[f'{scope}/weights'], **where)
        gamma, beta, mean, variance = (variables[f'{scope}/BatchNorm/{name}'] for name in BN)
        x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        return np.maximum(x, 0) if relu else x

    root = 'resnet_v1_50'
    x = layer(x, f'{root}/conv1_1', stride=2)
    x = layer(layer(x, f'{root}/conv1_2'), f'{root}/conv1_3')
    # max_pool 3x3, stride 2, SAME: of an odd side it pads one position on both ends
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = np.max(
        [
            padded[r : r + x.shape[0] : 2, c : c + x.shape[1] : 2]
            for r in (0, 1, 2)
            for c in (0, 1, 2)
        ],
        axis=0,
    )
    stride, rate = 4, 1
    for block, units in enumerate((3, 4, 6, 3), 1):
        for unit in range(1, units + 1):
            scope = f'{root}/block{block}/unit_{unit}/bottleneck_v1'
            nominal = 2 if block < 4 and unit == units else 1
            here = nominal if stride < output_stride else 1
            if unit == 1:
                shortcut = layer(x, f'{scope}/shortcut', relu=False, stride=here)
            else:
                shortcut = x[::here, ::here]
            x = layer(x, f'{scope}/conv1')
            x = layer(x, f'{scope}/conv2', stride=here, rate=rate)
            x = np.maximum(shortcut + layer(x, f'{scope}/conv3', relu=False), 0)
            stride *= here
            rate *= nominal // here
    return x


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_resnet_computes_what_slim_does(output_stride, build, relative_error):
    rng = np.random.default_rng(0)
    variables = {
        name: rng.normal(scale=np.prod(shape[:3]) ** -0.5, size=shape)
        if name.endswith('weights')
        else rng.uniform(0.5, 1.5, shape)
        for name, shape in resnet(base=4)
    }
    ours = build(
        type='AtrousResNet',
        depth=50,
        output_stride=output_stride,
        base_channels=4,
        deep_stem=(4, 4, 8),
        strides_last=True,
    ).double()
    ours.load_state_dict({name: torch.from_numpy(value) for name, value in variables.items()})
    image = rng.normal(size=(65, 97, 3))
    with torch.no_grad():
        found = ours(torch.from_numpy(image).permute(2, 0, 1)[None])[-1][0].permute(1, 2, 0)
    expected = torch.from_numpy(numpy_resnet(image, variables, output_stride))
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize(
    ('source', 'variables'),
    [
        ('`resnet_v1_50_beta`', [*resnet(101)]),
        ("slim's `resnet_v1_50`", [*resnet(101, beta=False)]),
        ('`deeplabv3_mnv2_*`', [*mobilenet_v2(), *head(320, rates=0)]),
    ],
    ids=['beta', 'slim', 'mnv2'],
)
def test_command_of_the_document(source, variables, documented):
    report = fit(tensors(variables), documented(f'TensorFlow, {source}').state_dict())
    assert not report.dropped
    missing = {key.split('.')[0] for key in report.missing}
    assert missing == (set() if 'mnv2' in source else {'decode_head'})
