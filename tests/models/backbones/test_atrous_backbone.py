"""AtrousBackbone: mmseg's own backbones are exact at every output_stride, or refused."""

import copy
import pickle
import warnings

import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from mmseg.registry import MODELS
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmseg_deeplabv3x.models.layers.surgery import rebuild

BN = dict(type='BN')
STDC = dict(
    type='STDCNet',
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(8, 16, 32, 64, 128),
    num_convs=4,
    norm_cfg=BN,
    act_cfg=dict(type='ReLU'),
    with_final_conv=False,
)
EXACT = dict(
    resnet18=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    resnet50=dict(type='ResNet', depth=50, base_channels=8, stem_channels=8),
    resnet_caffe=dict(type='ResNet', depth=50, style='caffe', base_channels=8, stem_channels=8),
    resnet_v1c=dict(type='ResNetV1c', depth=50, base_channels=8, stem_channels=8),
    # a 2x2 mean of ceil_mode in its shortcuts
    resnet_v1d=dict(type='ResNetV1d', depth=50, base_channels=8, stem_channels=8),
    resnext=dict(
        type='ResNeXt', depth=50, groups=2, base_width=4, base_channels=8, stem_channels=8
    ),
    mobilenet_v2=dict(type='MobileNetV2', widen_factor=0.25),
    stdc_cat=dict(STDC, bottleneck_type='cat'),
    # one of its layers has two names
    stdc_add=dict(STDC, bottleneck_type='add'),
    # 11x11 to 1x21 convolutions, tokens between
    mscan=dict(type='MSCAN', embed_dims=[8, 16, 24, 32], depths=[1, 1, 2, 1], norm_cfg=BN),
    another_last_stride=dict(
        type='ResNet', depth=18, base_channels=8, stem_channels=8, strides=(1, 2, 1, 2)
    ),
)
RESNET = EXACT['resnet50']
SIZES = [(97, 65), (64, 96), (100, 75)]


def atrous(build, backbone, **cfg):
    return build(type='AtrousBackbone', backbone=backbone, **cfg)


def plain_like(net, backbone):
    """The network that was wrapped, with the same weights."""
    plain = MODELS.build(backbone)
    plain.load_state_dict(net.state_dict())
    plain.eval()
    return plain


def as_tuple(maps):
    return maps if isinstance(maps, (tuple, list)) else (maps,)


def subsampled(fine, coarse):
    step = 1
    while any(-(-a // step) > b for a, b in zip(fine.shape[2:], coarse.shape[2:])):
        step *= 2
    return fine[..., ::step, ::step]


@pytest.mark.parametrize('name', EXACT)
@torch.no_grad()
def test_finer_maps_subsampled_are_the_plain_networks(build, relative_error, name):
    net = atrous(build, EXACT[name], output_stride=8).double()
    plain = plain_like(net, EXACT[name]).double()
    for size in SIZES:
        image = torch.randn(1, 3, *size, dtype=torch.double)
        expected = as_tuple(plain(image))
        for output_stride in (8, 16, net.coarsest, 8):
            net.set_output_stride(output_stride)
            found = as_tuple(net(image))
            assert found[-1].shape[-2:] == tuple(-(-side // output_stride) for side in size)
            for fine, coarse in zip(found, expected):
                if output_stride == net.coarsest:
                    assert torch.equal(fine, coarse)
                assert relative_error(subsampled(fine, coarse), coarse) < 1e-10


def test_split_attention_is_exact_but_for_its_mean_over_the_map(build, relative_error):
    cfg = dict(type='ResNeSt', depth=50, base_channels=8, stem_channels=8)
    net = atrous(build, cfg, output_stride=8)
    image = torch.randn(1, 3, 129, 160)
    with torch.no_grad():
        plain = plain_like(net, cfg)
        assert relative_error(subsampled(net(image)[3], plain(image)[3]), plain(image)[3]) > 1e-4
        for name, parameter in net.named_parameters():
            if 'fc2.weight' in name:
                parameter.zero_()  # attention is now the same at every image
        coarse = plain_like(net, cfg)(image)[3]
        assert relative_error(subsampled(net(image)[3], coarse), coarse) < 1e-4


@pytest.mark.parametrize('name', ['resnet18', 'resnet50', 'resnet_v1c'])
@pytest.mark.parametrize('units', [None, (1, 2, 4)])
@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize('contract', [True, False])
def test_agrees_with_atrous_resnet(build, relative_error, name, units, output_stride, contract):
    cfg = dict(EXACT[name])
    multi_grid = units and units[: 2 if cfg['depth'] == 18 else 3]
    dial = dict(output_stride=output_stride, multi_grid=multi_grid, contract_dilation=contract)
    wrapped = atrous(build, cfg, **dial)
    resnet = build(
        type='AtrousResNet',
        depth=cfg['depth'],
        base_channels=8,
        deep_stem=cfg['type'] == 'ResNetV1c',
        **dial,
    )
    assert list(wrapped.state_dict()) == list(resnet.state_dict())
    resnet.load_state_dict(wrapped.state_dict())
    image = torch.randn(1, 3, 97, 96)
    with torch.no_grad():
        for found, expected in zip(wrapped(image), resnet(image)):
            assert relative_error(found, expected) < 1e-6


def test_the_keys_and_weights_are_the_wrapped_networks(build, tmp_path):
    plain = build(**RESNET, seed=3)
    torch.save(plain.state_dict(), tmp_path / 'weights.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    net = build(type='AtrousBackbone', backbone=dict(RESNET, init_cfg=pretrained))
    net.init_weights()
    assert not hasattr(net.network, '_params_init_info')
    state = net.state_dict()
    assert list(state) == list(plain.state_dict())
    assert [name for name, _ in net.named_parameters()] == [n for n, _ in plain.named_parameters()]
    for name, value in plain.state_dict().items():
        assert torch.equal(state[name], value)
    net.set_output_stride(8)
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)


def test_building_changes_no_weight_and_no_random_number():
    torch.manual_seed(0)
    plain, following = MODELS.build(RESNET), torch.rand(3)
    torch.manual_seed(0)
    net = MODELS.build(dict(type='AtrousBackbone', backbone=RESNET))
    assert torch.equal(torch.rand(3), following)
    assert all(module.training for module in net.modules())
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)


def test_what_the_network_freezes_stays_frozen(build):
    net = atrous(build, dict(RESNET, frozen_stages=2, norm_eval=True))
    assert net.train() is net and net.training and net.network.training
    frozen = {name.split('.')[0] for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1', 'layer2'}
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    net.eval()
    assert not net.network.training


def test_out_indices_and_activation_checkpointing(build):
    image = torch.randn(2, 3, 65, 64)
    gradients = []
    for with_cp in (False, True):
        net = atrous(build, dict(RESNET, with_cp=with_cp, out_indices=(1, 3)), output_stride=8)
        maps = net(image)
        assert [tuple(x.shape[2:]) for x in maps] == [(9, 8), (9, 8)]
        maps[-1].sum().backward()
        gradients.append(net.layer4[0].conv2.weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_under_ddp_with_batches_of_all_processes(build, one_process):
    net = atrous(build, EXACT['resnet_v1d'], output_stride=16)
    alone = copy.deepcopy(net)
    image = torch.randn(2, 3, 65, 64)
    parallel = DistributedDataParallel(net)
    net.set_output_stride(8)
    maps = parallel(image)
    sum(x.mean() for x in maps).backward()
    alone.set_output_stride(8)
    sum(x.mean() for x in alone(image)).backward()
    for found, expected in zip(net.parameters(), alone.parameters()):
        torch.testing.assert_close(found.grad, expected.grad)
    nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.network.modules())


class BNAct(nn.BatchNorm2d):
    """As timm's: the activation is a child of the BN."""

    def forward(self, x):
        return self.act(super().forward(x))


@torch.no_grad()
def test_an_activation_inside_bn_stays_when_the_runner_converts_it(build):
    net = atrous(build, EXACT['resnet18'])
    inside = rebuild(BNAct, net.layer2[0].bn1)
    inside.act = nn.Hardtanh(-0.1, 0.1)
    net.layer2[0].bn1 = inside
    image = torch.randn(1, 3, 65, 64)
    expected = net(image)
    converted = convert_sync_batchnorm(net).eval()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in converted.modules())
    assert all(map(torch.equal, as_tuple(converted(image)), as_tuple(expected)))


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_on_its_own(build, copied):
    net = atrous(build, EXACT['resnet_v1d'], output_stride=32)
    image = torch.randn(1, 3, 64, 65)
    with torch.no_grad():
        before = net(image)[-1]
        copy_of_net = copied(net)
        copy_of_net.set_output_stride(8)
        copy_of_net.conv = None
        for parameter in copy_of_net.parameters():
            parameter.zero_()
        assert copy_of_net(image)[-1].shape[-2:] == (8, 9)
        assert copy_of_net(image)[-1].abs().max() == 0
        assert torch.equal(net(image)[-1], before)


def segmentor(backbone, channels, **cfg):
    head = dict(
        type='ImagePoolASPPHead',
        in_channels=channels,
        channels=8,
        num_classes=5,
        rates=(6, 12, 18),
    )
    return dict(type='DeepLabV3', backbone=backbone, decode_head=head, **cfg)


@pytest.mark.parametrize('name,channels', [('resnet_v1d', 256), ('mobilenet_v2', 80)])
def test_is_the_backbone_of_deeplabv3(build, name, channels):
    model = build(
        **segmentor(
            dict(type='AtrousBackbone', backbone=EXACT[name]),
            channels,
            output_stride=dict(train=16, test=8),
        )
    )
    image = torch.randn(2, 3, 65, 97)
    assert model.backbone.output_stride == 8
    assert model.extract_feat(image)[-1].shape[-2:] == (9, 13)
    model.train()
    assert model.backbone.output_stride == 16
    assert model.extract_feat(image)[-1].shape[-2:] == (5, 7)
    model.init_weights()
    with torch.autocast('cpu', torch.bfloat16):
        assert model.extract_feat(image)[-1].shape[-2:] == (5, 7)
    model.eval()
    with torch.no_grad():
        slow = model.encode_decode(image, [{}])
        fast = copy.deepcopy(model).speed_up(probabilities=True)
        torch.testing.assert_close(fast.encode_decode(image, [{}]), slow, rtol=1e-3, atol=1e-4)


def test_is_the_backbone_of_a_stock_segmentor(build):
    model = build(
        type='EncoderDecoder',
        backbone=dict(type='AtrousBackbone', backbone=EXACT['mobilenet_v2'], output_stride=8),
        decode_head=dict(type='FCNHead', in_channels=80, channels=8, num_classes=5, in_index=3),
    )
    model.init_weights()
    assert model.encode_decode(torch.randn(1, 3, 64, 96), [{'img_shape': (64, 96)}]).shape == (
        (1, 5, 64, 96)
    )


@pytest.mark.parametrize('name', ['resnet18', 'mobilenet_v2', 'stdc_add'])
def test_exports_with_any_size(build, relative_error, name):
    net = atrous(build, EXACT[name], output_stride=8)
    side = torch.export.Dim('height', min=64, max=512), torch.export.Dim('width', min=64, max=512)
    program = torch.export.export(
        net, (torch.randn(1, 3, 97, 128),), dynamic_shapes=({2: side[0], 3: side[1]},)
    )
    image = torch.randn(1, 3, 130, 75)
    with torch.no_grad():
        assert relative_error(program.module()(image)[-1], net(image)[-1]) < 1e-5


@pytest.mark.parametrize('output_stride,message', [(4, 'at least 8'), (64, 'at output_stride 32')])
def test_errors(build, output_stride, message):
    with pytest.raises(ValueError, match=message):
        atrous(build, RESNET, output_stride=output_stride)


@pytest.mark.parametrize('size,warns', [((65, 97), False), ((64, 97), True), ((80, 80), True)])
def test_a_crop_that_padding_same_shifts_is_told(build, size, warns):
    net = atrous(build, dict(type='MobileNetV3'), output_stride=8)
    image = torch.randn(2, 3, *size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        net.eval()(image)
        assert not caught
        net.train()
        net(image), net(image)
    told = [str(w.message) for w in caught if 'TensorFlow' in str(w.message)]
    assert len(told) == warns
    assert all(f'images of {size}' in text and '8 k + 1' in text for text in told)
