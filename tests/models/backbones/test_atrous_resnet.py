"""AtrousResNet: exact at every output_stride, and mmseg's ResNet where the two coincide."""

import pytest
import torch

SIZES = [(225, 225), (224, 160)]
PAIRS = [(8, 16), (8, 32), (16, 32)]


@pytest.fixture
def backbone(build):
    def backbone(depth=50, **cfg):
        return build(type='AtrousResNet', depth=depth, **{'base_channels': 8, **cfg})

    return backbone


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('fine,coarse', PAIRS)
@pytest.mark.parametrize(
    'cfg',
    [
        dict(depth=50, multi_grid=(1, 2, 4)),
        dict(depth=50, deep_stem=True),
        dict(depth=50, deep_stem=(6, 5, 7), avg_down=True, multi_grid=(1, 2, 4)),
        dict(depth=50, strides_last=True, multi_grid=(1, 2, 4)),
        dict(depth=18, multi_grid=(2, 3)),
        dict(depth=18, avg_down=True),
        dict(depth=34),
    ],
)
def test_finer_features_subsampled_are_the_coarser_ones(
    backbone, relative_error, cfg, fine, coarse, size
):
    net = backbone(**cfg)
    image = torch.randn(2, 3, *size)
    maps = {}
    for output_stride in (fine, coarse):
        net.set_output_stride(output_stride)
        with torch.no_grad():
            maps[output_stride] = net(image)
    for finer, coarser in zip(maps[fine], maps[coarse]):
        step = round(finer.shape[-1] / coarser.shape[-1])
        assert relative_error(finer[..., ::step, ::step], coarser) < 1e-4


def test_units_of_a_block_with_its_stride_last_have_the_papers_rates(backbone):
    net = backbone(output_stride=16, strides_last=True, multi_grid=(1, 2, 4))
    units = [unit for name in net.res_layers for unit in getattr(net, name)]
    assert [unit.conv2.stride[0] for unit in units] == [1, 1, 2, 1, 1, 1, 2, *[1] * 9]
    assert [unit.conv2.dilation[0] for unit in units[-4:]] == [1, 2, 4, 8]


def test_equals_mmsegs_resnetv1d(build, backbone):
    ours = backbone(deep_stem=True, avg_down=True, output_stride=32)
    stock = build(type='ResNetV1d', depth=50, base_channels=8, stem_channels=8)
    ours.load_state_dict(stock.state_dict())
    image = torch.randn(1, 3, 65, 90)
    with torch.no_grad():
        assert all(torch.equal(*pair) for pair in zip(ours(image), stock(image)))


@pytest.mark.parametrize('depth', [101, 152])
def test_deep_networks_are_exact_too(backbone, relative_error, depth):
    net = backbone(depth, multi_grid=(1, 2, 1), output_stride=8)
    image = torch.randn(1, 3, 129, 97)
    with torch.no_grad():
        fine = net(image)[-1]
        net.set_output_stride(32)
        assert relative_error(fine[..., ::4, ::4], net(image)[-1]) < 1e-4


def test_the_papers_literal_rates_are_not_exact_for_pytorch_weights(backbone, relative_error):
    image = torch.randn(1, 3, 225, 225)
    with torch.no_grad():
        coarse = backbone(output_stride=32)(image)[-1]
        literal = backbone(output_stride=16, contract_dilation=False)(image)[-1]
    assert relative_error(literal[..., ::2, ::2], coarse) > 0.1


def dilations(net, block):
    return [unit.conv2.dilation[0] for unit in getattr(net, f'layer{block}')]


def test_multi_grid_multiplies_the_rate(backbone):
    literal = backbone(output_stride=16, multi_grid=(1, 2, 4), contract_dilation=False)
    assert dilations(literal, 4) == [2, 4, 8]
    assert dilations(backbone(output_stride=8, multi_grid=(1, 2, 4)), 4) == [2, 8, 16]


@pytest.mark.parametrize('stock', ['ResNet', 'ResNetV1c'])
@pytest.mark.parametrize(
    'output_stride,strides,rates',
    [
        (8, (1, 2, 1, 1), (1, 1, 2, 4)),
        (16, (1, 2, 2, 1), (1, 1, 1, 2)),
        (32, (1, 2, 2, 2), (1, 1, 1, 1)),
    ],
)
def test_equals_mmsegs_resnet(build, backbone, stock, output_stride, strides, rates):
    theirs = build(
        type=stock,
        depth=50,
        stem_channels=8,
        base_channels=8,
        strides=strides,
        dilations=rates,
        contract_dilation=True,
    )
    ours = backbone(output_stride=output_stride, deep_stem=stock == 'ResNetV1c', seed=1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 97, 128)
    with torch.no_grad():
        for our_map, their_map in zip(ours(image), theirs(image)):
            torch.testing.assert_close(our_map, their_map)


def test_equals_mmsegs_resnet18_without_atrous_convolution(build, backbone):
    theirs = build(type='ResNet', depth=18, stem_channels=8, base_channels=8)
    ours = backbone(18, output_stride=32, seed=1)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 97, 128)
    with torch.no_grad():
        torch.testing.assert_close(ours(image)[-1], theirs(image)[-1])


def test_state_dict_keys_are_torchvisions(backbone):
    def norm(name):
        return {f'{name}.{k}' for k in ('weight', 'bias', 'running_mean', 'running_var')} | {
            f'{name}.num_batches_tracked'
        }

    expected = {'conv1.weight'} | norm('bn1')
    for block, units in enumerate((3, 4, 23, 3), start=1):
        for unit in range(units):
            name = f'layer{block}.{unit}'
            for conv in (1, 2, 3):
                expected |= {f'{name}.conv{conv}.weight'} | norm(f'{name}.bn{conv}')
        expected |= {f'layer{block}.0.downsample.0.weight'} | norm(f'layer{block}.0.downsample.1')
    assert set(backbone(101).state_dict()) == expected


def test_another_output_stride_keeps_the_weights(backbone):
    net = backbone(output_stride=32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.set_output_stride(8)
    assert net.output_stride == 8
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    image = torch.randn(1, 3, 97, 97)
    fresh = backbone(output_stride=8, seed=1)
    fresh.load_state_dict(before)
    with torch.no_grad():
        assert torch.equal(net(image)[-1], fresh(image)[-1])


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_out_indices_and_sizes(backbone, output_stride):
    net = backbone(out_indices=(1, 3), output_stride=output_stride)
    with torch.no_grad():
        maps = net(torch.randn(1, 3, 97, 65))
    assert len(maps) == 2
    assert maps[1].shape[2:] == (96 // output_stride + 1, 64 // output_stride + 1)


@pytest.mark.filterwarnings('error:torch.utils.checkpoint')
@pytest.mark.parametrize('depth', [18, 50])
def test_activation_checkpointing_changes_nothing(backbone, depth):
    """Neither the gradients nor, upstream, the statistics that BN would count twice."""
    image = torch.randn(2, 3, 65, 65)
    gradients, states = [], []
    for with_cp in (False, True):
        net = backbone(depth=depth, with_cp=with_cp)
        net.train()
        for _ in range(2):
            net(image)[-1].sum().backward()
        gradients.append(net.layer1[0].conv1.weight.grad)
        states.append(net.state_dict())
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(states[1], states[0])
    assert states[0]['bn1.num_batches_tracked'] == 2


def test_frozen_stages_are_not_trained(backbone):
    net = backbone(frozen_stages=2)
    net.train()
    frozen = {name.split('.')[0] for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {'conv1', 'bn1', 'layer1', 'layer2'}
    assert not net.layer2[0].bn1.training and net.layer3[0].bn1.training


@pytest.mark.parametrize('deep_stem', [False, True])
def test_convolutions_of_another_kind(backbone, deep_stem):
    ours, plain = (
        backbone(deep_stem=deep_stem, multi_grid=(1, 2, 4), conv_cfg=cfg)
        for cfg in (dict(type='ValidTapConv2d'), None)
    )
    convs = [module for module in ours.modules() if isinstance(module, torch.nn.Conv2d)]
    assert {type(conv).__name__ for conv in convs} == {'ValidTapConv2d'}
    image = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        torch.testing.assert_close(ours(image)[-1], plain(image)[-1], rtol=1e-4, atol=1e-4)


def test_takes_pretrained_as_stock_configs_name_it(backbone, tmp_path):
    torch.save(backbone(seed=3).state_dict(), tmp_path / 'weights.pth')
    net = backbone(pretrained=str(tmp_path / 'weights.pth'))
    net.init_weights()
    assert torch.equal(net.conv1.weight, backbone(seed=3).conv1.weight)


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(output_stride=4), 'at least 8, but got 4'),
        (dict(output_stride=12), 'power of two of at least 8, but got 12'),
        (dict(output_stride=64), 'a network of 4 blocks has an output_stride of 32 at the most'),
        (dict(multi_grid=(1, 2, 4, 8)), '4 unit rates, but block4 has 3 units'),
        (dict(depth=18, multi_grid=(1, 2, 4)), '3 unit rates, but block4 has 2 units'),
    ],
)
def test_errors(backbone, cfg, message):
    with pytest.raises(ValueError, match=message):
        backbone(**cfg)
