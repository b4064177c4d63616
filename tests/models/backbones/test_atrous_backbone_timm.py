"""AtrousBackbone around timm's networks: one or more of each family."""

import copy

import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from mmseg.registry import MODELS
from torch import nn

from mmseg_deeplabv3x.models.openvino_network import OpenVINONetwork

timm = pytest.importorskip('timm', reason='timm is not installed: install the extra timm')

EXACT = [
    'resnet18',
    'resnet26t',
    'resnet50d',  # means of ceil_mode in its shortcuts
    'res2net50_26w_4s',
    'regnetx_002',
    'repvgg_a0',
    'cspresnet50',
    'darknet17',
    'densenet121',
    'dpn48b',
    'vgg11_bn',
    'xception41',
    'legacy_xception',  # convolutions without padding
    'inception_v4',
    'mobilenetv2_050',
    'mobilenetv4_conv_small',
    'fbnetc_100',
    'tf_efficientnet_lite0',  # `same` padding
    'convnext_atto',  # 2x2 convolutions of stride 2
    'convnextv2_atto',
    'selecsls42',
    'hgnetv2_b0',
    'starnet_s1',
    'fastvit_t8',
    'nf_regnet_b0',
    'poolformer_s12',  # a mean that does not count its padding
    'dla34',  # takes even sizes alone
]
# The last weights before a factor that follows from the mean over a map.
GLOBAL = {
    'seresnet18': 'se.fc2.weight',
    'skresnet18': 'fc_select.weight',
    'resnest14d': 'fc2.weight',
    'ghostnet_100': 'conv_expand.weight',
    'mobilenetv3_small_100': 'conv_expand.weight',
    'tf_efficientnet_b0': 'conv_expand.weight',
    'regnety_002': 'se.fc2.weight',
}


@pytest.fixture
def wrapped():
    def wrapped(name, **cfg):
        torch.manual_seed(0)
        backbone = dict(type='TIMMBackbone', model_name=name, pretrained=False)
        plain = MODELS.build(backbone)
        for module in plain.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
        net = MODELS.build(dict(type='AtrousBackbone', backbone=backbone, **cfg))
        assert list(net.state_dict()) == list(plain.state_dict())
        net.load_state_dict(plain.state_dict())
        return net.eval(), plain.eval()

    return wrapped


def error(fine, coarse):
    """Largest difference of a map, subsampled, from another over its largest value."""
    step = 1
    while -(-fine.shape[-1] // step) > coarse.shape[-1]:
        step *= 2
    fine = fine[..., ::step, ::step]
    return ((fine - coarse).abs().max() / coarse.abs().max()).item()


@pytest.mark.parametrize('name', EXACT)
@torch.no_grad()
def test_finer_maps_subsampled_are_the_plain_networks(wrapped, name):
    net, plain = wrapped(name, output_stride=8)
    sizes = [(129, 97), (128, 96)]
    if name == 'dla34':
        sizes = sizes[1:]
    if name.startswith('tf_'):  # at even sides the plain one's windows are off the centre
        sizes = [(129, 97), (161, 65)]
    for size in sizes:
        image = torch.randn(1, 3, *size)
        expected = plain(image)
        for output_stride in (8, 32, 16):
            net.set_output_stride(output_stride)
            found = net(image)
            assert all(error(fine, coarse) < 1e-4 for fine, coarse in zip(found, expected))
            if output_stride == 32:
                assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected))
            else:
                assert found[-1].shape[-1] > expected[-1].shape[-1]


@pytest.mark.parametrize('output_stride', [8, 16])
@torch.no_grad()
def test_with_same_padding_the_place_of_a_map_does_not_depend_on_the_size(wrapped, output_stride):
    net, _ = wrapped('tf_efficientnet_lite0', output_stride=output_stride)
    image = torch.randn(1, 3, 32 * 20 + 1, 65)
    tall = net(image)[-1][:, :, : 64 // output_stride]
    for rows in (32 * 19 + 1, 32 * 19 + 17, 32 * 18 + 9):  # an odd and even number of rows of maps
        if rows % output_stride == 1:
            low = net(image[:, :, :rows])[-1][:, :, : 64 // output_stride]
            assert (low - tall).abs().max() < 1e-3 * tall.abs().max()


@pytest.mark.parametrize('name', GLOBAL)
@torch.no_grad()
def test_networks_with_global_means_are_exact_but_for_these(wrapped, name):
    net, plain = wrapped(name, output_stride=8)
    image = torch.randn(1, 3, 225, 257 if name.startswith('tf_') else 256)
    assert 1e-7 < error(net(image)[-1], plain(image)[-1]) < 0.2
    for key, parameter in net.named_parameters():
        if key.endswith(GLOBAL[name]):
            parameter.zero_()
    plain.load_state_dict(net.state_dict())
    assert error(net(image)[-1], plain(image)[-1]) < 1e-4


@pytest.mark.parametrize('name', ['resnet26t', 'regnetx_002', 'tf_efficientnet_lite0'])
def test_multi_grid(wrapped, name):
    net, _ = wrapped(name)
    units = {'resnet26t': 2, 'regnetx_002': 7, 'tf_efficientnet_lite0': 4}[name]
    rates = (1, 2, 4, 1, 2, 4, 1)[:units]
    multi, _ = wrapped(name, multi_grid=rates)

    def largest(net):
        found = []
        for _, module in net.named_modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
                rate = getattr(module, 'rate', 1)
                found.append(rate * module.dilation[0])
        return found[-units - (name == 'tf_efficientnet_lite0') :][:units]

    assert largest(multi) == [rate * own for rate, own in zip(rates, largest(net))]
    with pytest.raises(ValueError, match=f'each of the {units} units'):
        wrapped(name, multi_grid=(1, 2, 4, 8, 16))


@pytest.mark.parametrize(
    'name,message',
    [
        ('vit_tiny_patch16_224', r'vit_tiny_patch16_224: Input height .* \(224\)\.$'),
        ('mobilevit_s', 'its timm_model.stages_3.1.transformer.0.attn.* does not compute'),
        ('hrnet_w18_small', r'fuse_layers.0.2.2 \(Upsample\) does not compute'),
        ('inception_v3', 'what follows its timm_model.Mixed_6a.branch3x3dbl_3 fails at 8'),
        ('resnetblur18', r'timm_model.layer3.0.conv2 \(Conv2d\) does not compute'),
        ('convmixer_768_32', 'convmixer_768_32 is built at output_stride 8'),
    ],
)
def test_what_is_not_exact_is_refused(wrapped, name, message):
    with pytest.raises(ValueError, match=message):
        wrapped(name)


@pytest.mark.parametrize(
    'name', ['resnet26t', 'tf_efficientnet_lite0', 'densenet121', 'repvgg_a0', 'nf_regnet_b0']
)
@torch.no_grad()
def test_sped_up_it_computes_the_same(wrapped, name):
    net, _ = wrapped(name, output_stride=8)
    channels = net(torch.zeros(1, 3, 64, 64))[-1].shape[1]
    model = MODELS.build(
        dict(
            type='DeepLabV3',
            backbone=dict(
                type='AtrousBackbone',
                backbone=dict(type='TIMMBackbone', model_name=name, pretrained=False),
            ),
            decode_head=dict(
                type='ImagePoolASPPHead', in_channels=channels, channels=8, num_classes=5
            ),
        )
    ).eval()
    model.backbone.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 97, 128)
    expected = model.extract_feat(image)[-1]
    fast = copy.deepcopy(model).speed_up(probabilities=True)
    assert error(fast.extract_feat(image)[-1], expected) < 1e-4
    bns = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, fast)]
    assert bns[1] < bns[0] or name == 'nf_regnet_b0'


def test_same_padding_is_exported_with_any_size(wrapped):
    net, _ = wrapped('tf_efficientnet_lite0', output_stride=8)
    sides = {2: torch.export.Dim('height', min=64), 3: torch.export.Dim('width', min=64)}
    program = torch.export.export(net, (torch.randn(1, 3, 97, 128),), dynamic_shapes=(sides,))
    image = torch.randn(1, 3, 130, 75)
    with torch.no_grad():
        assert error(program.module()(image)[-1], net(image)[-1]) < 1e-5


def test_weights_of_a_file_are_loaded_before(tmp_path):
    """timm takes them when it builds its network."""
    source = timm.create_model('resnet18', features_only=True)
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    net = MODELS.build(
        dict(
            type='AtrousBackbone',
            backbone=dict(
                type='TIMMBackbone',
                model_name='resnet18',
                pretrained=True,
                pretrained_cfg_overlay=dict(file=str(tmp_path / 'weights.pth')),
            ),
        )
    )
    net.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[f'timm_model.{name}'], value)


def kept_and_gradients(net, image):
    """How many numbers are kept for the gradient, and the gradients."""
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    net.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = net(image)[-1].mean()
    loss.backward()
    return sum(kept), [parameter.grad for parameter in net.parameters()]


def test_activation_checkpointing_of_timm(wrapped):
    net, _ = wrapped('resnet26t', output_stride=8)
    image = torch.randn(1, 3, 65, 65)
    plain, expected = kept_and_gradients(net, image)
    net.timm_model.set_grad_checkpointing()
    kept, found = kept_and_gradients(net, image)
    assert kept < 0.8 * plain
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('output_stride', [8, 32])
def test_padding_that_depends_on_the_size_goes_to_openvino(wrapped, output_stride):
    pytest.importorskip('openvino', reason='needs the extra deploy')
    net, _ = wrapped('tf_efficientnet_lite0', output_stride=output_stride)
    last = nn.Sequential(net, LastMap()).eval()
    network = OpenVINONetwork(last)
    for size in ((65, 97), (70, 92)):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(network(images), last(images), rtol=1e-3, atol=1e-3)


class LastMap(nn.Module):
    def forward(self, maps):
        return maps[-1]


@pytest.mark.parametrize('name', ['tf_efficientnet_lite0', 'mobilenetv3_small_100'])
@torch.no_grad()
def test_the_activations_stay_when_the_runner_converts_bn_to_sync_bn(wrapped, name):
    net, _ = wrapped(name)
    image = torch.randn(1, 3, 65, 65)
    expected = net(image)
    converted = convert_sync_batchnorm(net, 'torch').eval()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in converted.modules())
    assert all(map(torch.equal, converted(image), expected))
