"""DeepLabV3: one output_stride for the whole network, frozen BN, and the loss at label size."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import convert_sync_batchnorm
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_deeplabv3x.models.layers.valid_tap_conv import ValidTapConv2d
from mmseg_deeplabv3x.models.segmentors import deeplabv3

CASCADE = dict(type='CascadeNeck', depth=18, base_channels=8)


@pytest.fixture
def segmentor(build):
    def segmentor(backbone=None, decode_head=None, **cfg):
        backbone = dict(dict(depth=18, base_channels=8), **(backbone or {}))
        return build(
            type='DeepLabV3',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=dict(
                type='AtrousResNet', **{'depth': 18, 'base_channels': 8, **(backbone or {})}
            ),
            decode_head=dict(
                type='ImagePoolASPPHead',
                **{'in_channels': 64, 'channels': 16, 'num_classes': 5, **(decode_head or {})},
            ),
            **{'train_cfg': {}, 'test_cfg': dict(mode='whole'), **cfg},
        )

    return segmentor


@pytest.fixture
def batch():
    torch.manual_seed(0)
    labels = torch.randint(0, 5, (2, 1, 65, 65))
    labels[:, :, :20] = 255
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=label), metainfo=dict(ori_shape=(65, 65), img_shape=(65, 65))
        )
        for label in labels
    ]
    return torch.randn(2, 3, 65, 65), samples


def output_strides(model):
    rate = model.decode_head.aspp_modules[1].conv.dilation[0]
    return [model.output_stride, model.backbone.output_stride, 6 * 16 // rate]


def test_train_and_eval_hand_out_their_output_stride(segmentor):
    model = segmentor(output_stride=dict(train=16, test=8))
    image = torch.randn(2, 3, 65, 65)
    for _ in range(2):
        model.train()
        assert output_strides(model) == [16] * 3
        assert model(image).shape[2:] == (5, 5)
        model.eval()
        assert output_strides(model) == [8] * 3
        assert model(image).shape[2:] == (9, 9)


def test_one_number_serves_both(segmentor):
    model = segmentor(output_stride=32)
    assert output_strides(model) == [32] * 3
    model.train()
    assert output_strides(model) == [32] * 3


def test_trained_at_16_and_evaluated_at_8_is_the_model_of_8(segmentor):
    model = segmentor(output_stride=dict(train=16, test=8))
    fresh = segmentor(output_stride=8, seed=1)
    fresh.load_state_dict(model.state_dict())
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        assert torch.equal(model(image), fresh(image))


@pytest.mark.parametrize('output_stride', [8, 32, 64, 256])
def test_the_cascade_takes_what_is_beyond_the_backbones_reach(segmentor, output_stride):
    head = dict(rates=(), image_pool=False)
    model = segmentor(neck=CASCADE, decode_head=head, output_stride=output_stride)
    assert model.neck.output_stride == output_stride
    assert model.backbone.output_stride == min(output_stride, 32)
    side = 256 // output_stride + 1
    assert model(torch.randn(1, 3, 257, 257)).shape[2:] == (side, side)


def test_the_cascade_starts_from_block4_when_asked(segmentor):
    for asked in (True, False):
        model = segmentor(neck=dict(CASCADE, copy_block4=asked))
        model.init_weights()
        block4, block5 = model.backbone.layer4[1], model.neck.block5[1]
        assert torch.equal(block4.conv1.weight, block5.conv1.weight) == asked


def train_step(model, batch):
    model.train()
    inputs, samples = batch
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = model.loss(inputs, samples)
    losses['decode.loss_ce'].backward()
    optimizer.step()


def test_freeze_bn_freezes_statistics_and_affine_parameters_of_every_bn(segmentor, batch):
    model = segmentor(freeze_bn=True, neck=CASCADE)
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        train_step(model, batch)
    norms = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}
    assert {name.split('.')[0] for name in norms} == {'backbone', 'neck', 'decode_head'}
    after = model.state_dict()
    for name in norms:
        for key in (k for k in after if k.startswith(name + '.')):
            assert torch.equal(after[key], before[key]), key
    assert not torch.equal(after['backbone.conv1.weight'], before['backbone.conv1.weight'])


@pytest.mark.parametrize('implementation', ['torch', 'mmcv'])
def test_frozen_bn_stays_frozen_as_sync_bn(segmentor, one_process, implementation):
    model = segmentor(freeze_bn=True)
    bns = sum(isinstance(module, _BatchNorm) for module in model.modules())
    model = convert_sync_batchnorm(model, implementation).train()
    norms = [m for m in model.modules() if type(m).__name__ == 'SyncBatchNorm']
    assert len(norms) == bns > 10
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)


def test_without_freeze_bn_both_change(segmentor, batch):
    model = segmentor()
    before = copy.deepcopy(model.state_dict())
    train_step(model, batch)
    after = model.state_dict()
    for key in ('backbone.bn1.running_mean', 'backbone.bn1.weight'):
        assert not torch.equal(after[key], before[key])


def test_frozen_bn_trains_on_a_batch_of_one(segmentor, batch):
    inputs, samples = batch
    train_step(segmentor(freeze_bn=True), (inputs[:1], samples[:1]))
    with pytest.raises(ValueError, match='at least 2 images'):
        train_step(segmentor(), (inputs[:1], samples[:1]))


def test_the_loss_is_on_logits_upsampled_to_the_labels_over_labelled_pixels(segmentor, batch):
    model = segmentor(freeze_bn=True, decode_head=dict(dropout_ratio=0))
    model.train()
    inputs, samples = batch
    loss = model.loss(inputs, samples)['decode.loss_ce']
    logits = F.interpolate(model(inputs).double(), (65, 65), mode='bilinear', align_corners=True)
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    assert abs(loss.item() - expected.item()) < 1e-5


@pytest.mark.parametrize('output_stride', [8, 16])
def test_logits_and_pixels_agree_at_any_image_size(segmentor, output_stride):
    """Pixel (k * output_stride) has exactly the logits of map position k."""
    model = segmentor(output_stride=output_stride)
    image = torch.randn(2, 3, 71, 90)
    with torch.no_grad():
        logits = model.encode_decode(image, [dict(img_shape=(71, 90))] * 2)
        padded = F.pad(image, (0, -(90 - 1) % output_stride, 0, -(71 - 1) % output_stride))
        coarse = model(padded)
    assert logits.shape == (2, 5, 71, 90)
    rows, columns = -(-71 // output_stride), -(-90 // output_stride)
    torch.testing.assert_close(
        logits[:, :, ::output_stride, ::output_stride],
        coarse[:, :, :rows, :columns],
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_head_without_align_corners_gets_the_image_as_it_is(segmentor):
    model = segmentor(decode_head=dict(align_corners=False))
    image = torch.randn(1, 3, 71, 90)
    with torch.no_grad():
        logits = model.encode_decode(image, [dict(img_shape=(71, 90))])
        expected = F.interpolate(model(image), (71, 90), mode='bilinear', align_corners=False)
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(
    'test_cfg', [None, dict(mode='whole'), dict(mode='slide', crop_size=(65, 65), stride=(40, 40))]
)
def test_predicts_at_the_images_own_size(segmentor, test_cfg):
    model = segmentor(test_cfg=test_cfg)
    sample = SegDataSample(metainfo=dict(ori_shape=(71, 90), img_shape=(71, 90)))
    with torch.no_grad():
        result = model.predict(torch.randn(1, 3, 71, 90), [sample])[0]
    assert result.pred_sem_seg.shape == (71, 90)
    assert result.seg_logits.shape == (71, 90)


@pytest.mark.parametrize('load', [lambda m, s: m.load_state_dict(s), load_state_dict])
def test_a_checkpoint_of_another_number_of_classes(segmentor, load):
    theirs = segmentor(decode_head=dict(num_classes=19)).state_dict()
    with pytest.raises(ValueError, match='has 19 classes in decode_head.conv_seg.*the model has 5'):
        load(segmentor(), theirs)


def test_new_classifier_takes_all_the_other_weights(segmentor):
    theirs = segmentor(decode_head=dict(num_classes=19)).state_dict()
    model = segmentor(new_classifier=True, seed=1)
    classifier = model.decode_head.conv_seg.weight.clone()
    load_state_dict(model, dict(theirs))
    assert torch.equal(model.decode_head.conv_seg.weight, classifier)
    for key, value in model.state_dict().items():
        assert 'conv_seg' in key or torch.equal(value, theirs[key])


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(output_stride=12), 'power of two of at least 8, but got 12'),
        (dict(output_stride=dict(train=16, test=4)), 'at least 8, but got 4'),
        (dict(output_stride=dict(train=16)), 'one number or dict'),
        (dict(output_stride=64), 'output_stride of 32 at the most'),
        (dict(output_stride=dict(train=16, test=512), neck=CASCADE), 'of 256 at the most'),
        (dict(backbone=dict(output_stride=8)), 'backbone.output_stride is 8, but the model is at'),
        (dict(decode_head=dict(output_stride=8)), 'decode_head.output_stride is 8, but'),
        (dict(neck=dict(CASCADE, output_stride=32)), 'neck.output_stride is 32, but'),
    ],
)
def test_errors(segmentor, cfg, message):
    with pytest.raises(ValueError, match=message):
        segmentor(**cfg)


def test_a_backbone_without_set_output_stride_is_refused(build):
    with pytest.raises(ValueError, match='ResNetV1c has no set_output_stride: use AtrousResNet'):
        build(
            type='DeepLabV3',
            backbone=dict(type='ResNetV1c', depth=18),
            decode_head=dict(type='ImagePoolASPPHead', in_channels=512, num_classes=5),
        )


def test_the_head_stands_under_a_stock_backbone_and_segmentor(build, batch):
    model = build(
        type='EncoderDecoder',
        backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8),
        decode_head=dict(
            type='ImagePoolASPPHead',
            in_channels=64,
            num_classes=5,
            channels=16,
            output_stride=32,
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )
    model.train()
    model.loss(*batch)['decode.loss_ce'].backward()
    assert model.decode_head.aspp_modules[3].conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('backbone,head', [(8, 16), (16, 8), (32, 16)])
def test_head_and_backbone_at_different_output_strides(build, batch, backbone, head):
    model = build(
        type='EncoderDecoder',
        backbone=dict(type='AtrousResNet', depth=18, base_channels=8, output_stride=backbone),
        decode_head=dict(
            type='ImagePoolASPPHead',
            in_channels=64,
            num_classes=5,
            channels=16,
            output_stride=head,
        ),
    )
    model.train()
    with pytest.raises(ValueError, match=f'at output_stride {head} and expects a map of .*65, 65'):
        model.loss(*batch)


def test_an_auxiliary_head_follows_the_output_stride(segmentor, batch):
    auxiliary = dict(type='ImagePoolASPPHead', in_channels=64, num_classes=5, channels=16)
    model = segmentor(auxiliary_head=auxiliary, output_stride=8)
    assert model.auxiliary_head.output_stride == 8
    model.train()
    assert set(model.loss(*batch)) >= {'decode.loss_ce', 'aux.loss_ce'}
    assert segmentor(auxiliary_head=[auxiliary], output_stride=8).auxiliary_head[0].rates


def test_a_whole_checkpoint_of_mmsegs_deeplabv3_gives_the_same_output(
    build, segmentor, relative_error
):
    """Its published models: deep stem, output_stride 8, wide head, auxiliary head."""
    auxiliary = dict(
        type='FCNHead',
        in_channels=128,
        in_index=2,
        channels=16,
        num_convs=1,
        concat_input=False,
        num_classes=5,
        norm_cfg=dict(type='BN'),
    )
    wide = dict(in_channels=256, num_classes=5, channels=32, norm_cfg=dict(type='BN'))
    theirs = build(
        type='EncoderDecoder',
        backbone=dict(
            type='ResNetV1c',
            depth=50,
            stem_channels=8,
            base_channels=8,
            strides=(1, 2, 1, 1),
            dilations=(1, 1, 2, 4),
            contract_dilation=True,
        ),
        decode_head=dict(type='ASPPHead', in_index=3, dilations=(1, 12, 24, 36), **wide),
        auxiliary_head=auxiliary,
        test_cfg=dict(mode='whole'),
    )
    ours = segmentor(
        backbone=dict(depth=50, deep_stem=True),
        decode_head=dict(projection_kernel=3, align_corners=False, **wide),
        auxiliary_head=auxiliary,
        output_stride=8,
        seed=1,
    )
    ours.load_state_dict(theirs.state_dict())
    image, meta = torch.randn(1, 3, 71, 90), [dict(img_shape=(71, 90), ori_shape=(71, 90))]
    with torch.no_grad():
        expected = theirs.encode_decode(image, meta)
        assert relative_error(ours.encode_decode(image, meta), expected) < 1e-5


def test_channels_last_changes_the_layout_alone(segmentor, batch, relative_error):
    plain, ours = segmentor(channels_last=False), segmentor(channels_last=True)
    ours.load_state_dict(plain.state_dict())
    seen = []
    ours.backbone.layer4.register_forward_hook(lambda module, x, y: seen.append(y))
    inputs, samples = batch
    losses, grads = [], []
    for model in (plain.train(), ours.train()):
        torch.manual_seed(0)  # for the dropout
        losses.append(model.loss(inputs, samples)['decode.loss_ce'])
        losses[-1].backward()
        grads.append(model.backbone.layer4[0].conv1.weight.grad)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    assert abs(losses[0] - losses[1]) < 1e-4
    assert relative_error(*grads) < 1e-3


@pytest.mark.parametrize('channels_last', [False, True])
def test_channels_last_has_our_convolutions(segmentor, channels_last):
    model = segmentor(channels_last=channels_last, decode_head=dict(fast=False))
    convs = [conv for conv in model.modules() if isinstance(conv, torch.nn.Conv2d)]
    assert len(convs) > 20
    assert {isinstance(conv, ValidTapConv2d) for conv in convs} == {channels_last}


@pytest.mark.parametrize('device,expected', [('cpu', True), ('cuda', False)])
def test_channels_last_is_the_default_without_a_gpu(segmentor, monkeypatch, device, expected):
    monkeypatch.setattr(deeplabv3, 'get_device', lambda: device)
    said = []
    monkeypatch.setattr(deeplabv3, 'print_log', lambda text, logger: said.append(text))
    weight = segmentor().backbone.layer4[0].conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == expected
    assert [text for text in said if 'model.channels_last=False turns it off' in text] == said
    assert bool(said) == expected
    said.clear()
    weight = segmentor(channels_last=False).backbone.layer4[0].conv2.weight
    assert weight.is_contiguous() and not said


def test_a_seed_gives_the_same_weights_in_both_layouts(segmentor):
    models = [segmentor(channels_last=channels_last) for channels_last in (False, True)]
    models[1].load_state_dict(models[0].state_dict())  # not all is drawn anew
    for model in models:
        torch.manual_seed(0)
        model.init_weights()
    for (name, plain), ours in zip(models[0].named_parameters(), models[1].parameters()):
        assert torch.equal(plain, ours), name
    conv = models[1].backbone.layer4[0].conv2.weight
    assert conv.is_contiguous(memory_format=torch.channels_last)


def test_a_compiled_backbone_is_the_same_one(segmentor, relative_error):
    plain = segmentor(output_stride=dict(train=16, test=8))
    graphs = []
    compiled = segmentor(
        output_stride=dict(train=16, test=8),
        compile_backbone=dict(backend=lambda graph, inputs: graphs.append(graph) or graph.forward),
    )
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    compiled.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 65, 65)
    with torch.no_grad():
        assert relative_error(compiled.eval()(image), plain.eval()(image)) < 1e-5
        assert graphs
        for model in (plain, compiled):
            model.train()
            for part in model.modules():
                if isinstance(part, _BatchNorm):
                    part.eval()
        assert output_strides(compiled) == [16] * 3
        assert relative_error(compiled.backbone(image)[-1], plain.backbone(image)[-1]) < 1e-5


class Logits(torch.nn.Module):
    """What docs/api.md says of export."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images, mode='tensor')


@pytest.mark.parametrize('way', ['export', 'trace'])
@pytest.mark.parametrize('channels_last', [False, True])
def test_the_network_can_be_exported(segmentor, relative_error, way, channels_last):
    wrapped = Logits(segmentor(output_stride=8, channels_last=channels_last).eval()).eval()
    images = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        if way == 'export':
            exported = torch.export.export(wrapped, (images,)).module()
        else:
            exported = torch.jit.trace(wrapped, images)
        assert relative_error(exported(images), wrapped(images)) < 1e-5
        assert exported(images).shape[2:] == (9, 13)  # output_stride 8


PARTS = dict(type='FCNHead', channels=8, num_classes=5, concat_input=False, num_convs=1)


def test_heads_find_the_channels_of_their_maps(build):
    several = dict(in_index=(1, 3))
    cfg = dict(
        type='DeepLabV3',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        backbone=dict(type='AtrousResNet', depth=18, base_channels=8, in_channels=4),
        decode_head=dict(type='ImagePoolASPPHead', channels=8, num_classes=5),
        auxiliary_head=[
            dict(PARTS, in_index=2),
            dict(PARTS, **several, input_transform='resize_concat'),
            dict(PARTS, **several, in_channels=(16, 64), input_transform='resize_concat'),
        ],
    )
    model = build(**cfg)
    found = [head.in_channels for head in (model.decode_head, *model.auxiliary_head)]
    assert found == [64, 32, 80, 80]
    assert model.loss(torch.randn(2, 4, 33, 33), [labelled(33)] * 2)
    one = build(**dict(cfg, auxiliary_head=dict(PARTS, in_index=0)))
    assert one.auxiliary_head.in_channels == 8
    cascade = build(**dict(cfg, neck=CASCADE, auxiliary_head=None))
    assert cascade.decode_head.in_channels == 64


def labelled(size, label=1):
    labels = torch.full((1, size, size), label)
    return SegDataSample(gt_sem_seg=PixelData(data=labels))


def test_finding_the_channels_leaves_no_trace(segmentor):
    """Neither in the statistics of BN nor in the mode."""
    model = segmentor(decode_head=dict(in_channels=64))
    assert model.backbone.bn1.num_batches_tracked == 0
    model.train()
    assert model.backbone.bn1.training and model.backbone.layer4[0].bn1.training


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(in_channels=2048), 'decode_head.in_channels makes 2048, .* have 64 channels'),
        (dict(in_channels=64, in_index=2), 'makes 64, .* have 32 channels: leave in_channels out'),
        (dict(ignore_index=0), 'auxiliary_head.ignore_index is 255, .* decode_head is 0'),
        (dict(num_classes=1), 'ImagePoolASPPHead has one output channel, .* loss 0'),
        (dict(in_index=4), 'A head has in_index=4, but gets 4 maps'),
    ],
)
def test_heads_that_do_not_fit_are_refused_when_they_are_built(segmentor, changes, message):
    head = dict(dict(channels=8, num_classes=5), **changes)
    with pytest.raises(ValueError, match=message):
        segmentor(decode_head=head, auxiliary_head=dict(PARTS, in_index=2))


def test_the_softmax_of_a_stock_head_over_one_class_is_refused_too(segmentor):
    with pytest.raises(ValueError, match='FCNHead has one output channel, .* loss 0'):
        segmentor(auxiliary_head=dict(PARTS, num_classes=1))


def test_an_ignored_label_of_any_number_has_no_loss(segmentor):
    torch.manual_seed(0)
    images, labels = torch.randn(2, 3, 33, 33), torch.randint(5, (2, 1, 33, 33))
    losses = []
    for ignored in (255, 200):
        labels[:, :, 10:] = ignored
        samples = [SegDataSample(gt_sem_seg=PixelData(data=label.clone())) for label in labels]
        model = segmentor(decode_head=dict(ignore_index=ignored, dropout_ratio=0))
        losses.append(model.loss(images, samples)['decode.loss_ce'].item())
    assert losses[0] == losses[1] > 0
