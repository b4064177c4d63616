"""CascadeNeck: exact at every output_stride behind AtrousResNet."""

import pytest
import torch


@pytest.fixture
def backbone(build):
    def backbone(depth=50, **cfg):
        return build(type='AtrousResNet', depth=depth, base_channels=8, **cfg)

    return backbone


@pytest.fixture
def neck(build):
    def neck(depth=50, **cfg):
        return build(type='CascadeNeck', depth=depth, base_channels=8, **cfg)

    return neck


@pytest.mark.parametrize('depth,multi_grid', [(50, (1, 2, 1)), (18, ((1, 2), (2, 1), (1, 1)))])
@pytest.mark.parametrize('fine,coarse', [(8, 16), (16, 32), (16, 64), (32, 128), (32, 256)])
def test_finer_features_subsampled_are_the_coarser_ones(
    backbone, neck, relative_error, depth, multi_grid, fine, coarse
):
    base, cascade = backbone(depth), neck(depth, multi_grid=multi_grid)
    image = torch.randn(1, 3, 257, 225)
    maps = []
    for output_stride in (fine, coarse):
        base.set_output_stride(min(output_stride, 32))
        cascade.set_output_stride(output_stride)
        with torch.no_grad():
            maps.append(cascade(base(image))[-1])
    step = coarse // fine
    assert maps[1].shape[2:] == (256 // coarse + 1, 224 // coarse + 1)
    assert relative_error(maps[0][..., ::step, ::step], maps[1]) < 1e-4


def test_rates_at_output_stride_16_are_those_of_fig3b(neck):
    cascade = neck(output_stride=16, contract_dilation=False)
    blocks = (cascade.block5, cascade.block6, cascade.block7)
    assert [[unit.conv2.dilation[0] for unit in block] for block in blocks] == [
        [4] * 3,
        [8] * 3,
        [16] * 3,
    ]


def test_each_block_has_its_own_multi_grid(neck):
    cascade = neck(output_stride=256, multi_grid=((1, 2, 1), (1, 1, 1), (2, 2, 2)))
    blocks = (cascade.block5, cascade.block6, cascade.block7)
    assert [[unit.conv2.dilation[0] for unit in block] for block in blocks] == [
        [1, 2, 1],
        [1, 1, 1],
        [2, 2, 2],
    ]


@pytest.mark.parametrize('num_blocks', [1, 2, 4])
def test_any_number_of_blocks_gives_the_last_map(neck, num_blocks):
    cascade = neck(num_blocks=num_blocks, output_stride=32 * 2**num_blocks)
    with torch.no_grad():
        maps = cascade([torch.randn(1, 256, 17, 17)])
    side = 16 // 2**num_blocks + 1
    assert [tuple(m.shape) for m in maps] == [(1, 256, side, side)]
    assert hasattr(cascade, f'block{4 + num_blocks}')
    assert not hasattr(cascade, f'block{5 + num_blocks}')


def test_other_blocks_on_request(neck):
    cascade = neck(out_blocks=(4, 5, 7))
    x = torch.randn(1, 256, 9, 9)
    with torch.no_grad():
        block4, block5, block7 = cascade([x])
        last = neck()([x])[-1]
    assert block4 is x
    assert torch.equal(block5, cascade.block5(x))
    assert torch.equal(block7, last)


def test_starts_from_block4_where_shapes_agree(backbone, neck):
    block4, cascade = backbone().layer4, neck(seed=1)
    first_conv = cascade.block5[0].conv1.weight.clone()
    cascade.load_block4(block4)
    for block in (cascade.block5, cascade.block7):
        for unit in (1, 2):
            for key, value in block4[unit].state_dict().items():
                assert torch.equal(block[unit].state_dict()[key], value)
        assert torch.equal(block[0].conv2.weight, block4[0].conv2.weight)
    assert torch.equal(cascade.block5[0].conv1.weight, first_conv)


def test_block4_of_another_depth_is_refused(backbone, neck):
    with pytest.raises(ValueError, match='3 as in ResNet-50: set neck.depth to the depth of the b'):
        neck(50).load_block4(backbone(18).layer4)


def test_untrained_units_start_as_their_shortcuts(neck):
    cascade = neck()
    cascade.init_weights()
    for unit in cascade.block6:
        assert unit.norm3.weight.abs().max() == 0 and (unit.norm2.weight == 1).all()
    deviation = cascade.block6[1].conv2.weight.std().item()
    assert deviation == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05), "He's normal distribution"


def test_a_block_is_a_copy_of_block4(backbone, neck):
    shapes = {k: v.shape for k, v in backbone().layer4.state_dict().items()}
    for key, value in neck().block6.state_dict().items():
        if key not in ('0.conv1.weight', '0.downsample.0.weight'):
            assert value.shape == shapes.pop(key)
    assert set(shapes) == {'0.conv1.weight', '0.downsample.0.weight'}


def test_convolutions_of_another_kind(neck):
    ours, plain = (neck(conv_cfg=cfg) for cfg in (dict(type='ValidTapConv2d'), None))
    convs = [module for module in ours.modules() if isinstance(module, torch.nn.Conv2d)]
    assert {type(conv).__name__ for conv in convs} == {'ValidTapConv2d'}
    maps = [torch.randn(1, 256, 5, 5)]
    with torch.no_grad():
        torch.testing.assert_close(ours(maps)[-1], plain(maps)[-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(output_stride=512), 'a network of 7 blocks has an output_stride of 256 at the most'),
        (dict(num_blocks=0), 'num_blocks must be from 1 to 64, but got 0'),
        (dict(multi_grid=(1, 2)), '2 unit rates, but block5 has 3 units'),
        (dict(multi_grid=((1, 2, 1),)), 'unit rates for 1 blocks, but there are 3'),
        (dict(out_blocks=(8,)), r'from 4 \(the input\) to 7, but got \(8,\)'),
    ],
)
def test_errors(neck, cfg, message):
    with pytest.raises(ValueError, match=message):
        neck(**cfg)


@pytest.mark.parametrize(
    'arguments, name',
    [
        (dict(num_blocks=None), 'num_blocks'),
        (dict(num_blocks=10**9), 'num_blocks'),
        (dict(multi_grid=2), 'multi_grid'),
        (dict(out_blocks=5), 'out_blocks'),
        (dict(out_blocks=['5']), 'out_blocks'),
    ],
)
def test_an_argument_of_another_type_is_named(neck, arguments, name):
    with pytest.raises(ValueError, match=f'^{name} must be'):
        neck(**arguments)
