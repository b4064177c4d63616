"""speed_up(): the same predictions from fewer operations."""

import copy
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_deeplabv3x.models import openvino_network
from mmseg_deeplabv3x.models.channels_last_preprocessor import ChannelsLastPreProcessor
from mmseg_deeplabv3x.models.layers.valid_tap_conv import ValidTapConv2d


@pytest.fixture
def segmentor(build):
    def segmentor(depth=18, neck=False, head=(), **cfg):
        width = 64 if depth < 50 else 256
        if neck:
            cfg['neck'] = dict(type='CascadeNeck', depth=depth, base_channels=8)
        return build(
            type='DeepLabV3',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=dict(type='AtrousResNet', depth=depth, base_channels=8),
            decode_head=dict(
                dict(type='ImagePoolASPPHead', in_channels=width, channels=16, num_classes=5),
                **dict(head),
            ),
            **{'output_stride': 8, **cfg},
        )

    return segmentor


def draw(n=2, size=(50, 71), **meta):
    generator = torch.Generator().manual_seed(0)
    meta = dict(dict(ori_shape=size, img_shape=size), **meta)
    labels = torch.zeros(1, *size, dtype=torch.long)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta) for _ in range(n)]
    return torch.randn(n, 3, *size, generator=generator), samples


@torch.no_grad()
def predict(model, inputs, data_samples):
    return model.predict(inputs, copy.deepcopy(data_samples))


def agreement(ours, theirs):
    pairs = [(a.pred_sem_seg.data, b.pred_sem_seg.data) for a, b in zip(ours, theirs)]
    assert all(a.shape == b.shape for a, b in pairs)
    return torch.stack([(a == b).float().mean() for a, b in pairs]).mean()


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('neck', [False, True])
@pytest.mark.parametrize(
    'head', [{}, dict(projection_kernel=3), dict(align_corners=False), dict(fast=False)]
)
def test_the_same_classes(segmentor, depth, neck, head):
    model = spread_classes(segmentor(depth, neck, head))
    plain = predict(model, *draw())
    fast = predict(copy.deepcopy(model).speed_up(), *draw())
    assert len({*plain[0].pred_sem_seg.data.unique().tolist()}) > 1
    assert agreement(fast, plain) > 0.999
    assert 'seg_logits' not in fast[0]
    assert fast[0].gt_sem_seg is not None and fast[0].ori_shape == (50, 71)


class InvertedHead(FCNHead):
    """Upsamples the negative of its logits."""

    def predict_by_feat(self, seg_logits, batch_img_metas):
        return super().predict_by_feat(-seg_logits, batch_img_metas)


@pytest.mark.parametrize(
    'head',
    [
        dict(type='DAHead', pam_channels=4),
        dict(type='EncHead', in_index=(1, 2, 3), in_channels=(16, 32, 64), use_se_loss=True),
        dict(type=InvertedHead),
    ],
)
def test_a_head_that_predicts_otherwise(segmentor, head):
    model = segmentor(head=dict(head, norm_cfg=dict(type='BN'), align_corners=True))
    plain = predict(model, *draw())
    assert len(plain[0].pred_sem_seg.data.unique()) > 1
    assert agreement(predict(copy.deepcopy(model).speed_up(), *draw()), plain) > 0.999
    with pytest.raises(ValueError, match='Head predicts not by its logits alone'):
        model.speed_up(openvino=True)


def test_probabilities_where_asked(segmentor, relative_error):
    model = segmentor()
    plain = predict(model, *draw())
    fast = predict(copy.deepcopy(model).speed_up(probabilities=True), *draw())
    for a, b in zip(fast, plain):
        assert relative_error(a.seg_logits.data, b.seg_logits.data) < 1e-4


def test_no_bn_is_left_and_doing_it_twice_is_harmless(segmentor):
    model = segmentor(neck=True).speed_up()
    first = predict(model, *draw())
    assert not any(isinstance(m, _BatchNorm) for m in model.modules())
    assert model.decode_head.conv_seg.weight.shape[0] == 5
    assert agreement(predict(model.speed_up(), *draw()), first) == 1


@pytest.mark.parametrize('fast', [True, False])
def test_all_is_in_channels_last_and_has_our_convolutions(segmentor, fast):
    model = segmentor(neck=True, head=dict(fast=fast)).speed_up()
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) > 20
    for conv in convs:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)
        assert isinstance(conv, ValidTapConv2d)


def test_images_are_normalised_in_channels_last(segmentor):
    model = segmentor()
    images = torch.randint(0, 256, (2, 3, 50, 71), dtype=torch.uint8)
    cfg = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], bgr_to_rgb=True)
    model.data_preprocessor = MODELS.build(dict(cfg, type='SegDataPreProcessor'))
    data = dict(inputs=list(images), data_samples=draw()[1])
    plain = predict(model, **model.data_preprocessor(data))
    inputs = model.speed_up().data_preprocessor(data)
    assert isinstance(model.data_preprocessor, ChannelsLastPreProcessor)
    assert inputs['inputs'].is_contiguous(memory_format=torch.channels_last)
    assert agreement(predict(model, **inputs), plain) > 0.999


def test_a_preprocessor_of_ones_own_stays(segmentor):
    class Own(SegDataPreProcessor):
        pass

    model = segmentor()
    model.data_preprocessor = Own()
    assert type(model.speed_up().data_preprocessor) is Own


def test_training_after_it_is_refused(segmentor):
    model = segmentor().speed_up()
    model.eval()
    with pytest.raises(RuntimeError, match='After speed_up.*no BN'):
        model.train()


@pytest.mark.parametrize(
    'cfg,meta',
    [
        (dict(test_cfg=dict(mode='slide', crop_size=(33, 33), stride=(20, 20))), {}),
        ({}, dict(ori_shape=(25, 36))),
        ({}, dict(flip=True, flip_direction='horizontal')),
        ({}, dict(padding_size=[0, 5, 0, 3])),
        (dict(head=dict(num_classes=2, out_channels=1, threshold=0.5)), {}),
    ],
)
def test_all_else_goes_the_plain_way(segmentor, cfg, meta):
    model = segmentor(**cfg)
    inputs, samples = draw(**meta)
    plain = predict(model, inputs, samples)
    fast = predict(copy.deepcopy(model).speed_up(), inputs, samples)
    assert 'seg_logits' in fast[0] and agreement(fast, plain) > 0.999


def test_without_samples(segmentor):
    model = segmentor().speed_up()
    inputs, samples = draw()
    with torch.no_grad():
        bare = model.predict(inputs)
    assert agreement(bare, predict(model, inputs, samples)) == 1


def spread_classes(model):
    """So that no class wins everywhere."""
    with torch.no_grad():
        model.decode_head.conv_seg.bias -= model(draw()[0]).mean((0, 2, 3))
    return model


# a conversion takes seconds: each of these makes one
@pytest.mark.parametrize(
    'precision, probabilities, share', [('fp32', False, 0.999), ('bf16', True, 0.95)]
)
def test_by_openvino(segmentor, monkeypatch, precision, probabilities, share):
    pytest.importorskip('openvino', reason='needs the extra deploy')
    compile_model, hints = openvino_network.openvino_core().compile_model, []

    def compile_and_tell(network, device, settings):
        hints.append(settings['INFERENCE_PRECISION_HINT'])
        return compile_model(network, device, settings)

    core = SimpleNamespace(compile_model=compile_and_tell)
    monkeypatch.setattr(openvino_network, 'openvino_core', lambda: core)
    model = spread_classes(segmentor())
    by_torch = copy.deepcopy(model).speed_up(probabilities)
    fast = model.speed_up(probabilities, precision, openvino=True)
    fast.backbone.forward = None  # it must not be asked
    assert hints == [dict(fp32='f32', bf16='bf16')[precision]]
    for meta in ({}, dict(size=(33, 90), n=1), dict(flip=True, flip_direction='horizontal')):
        theirs, ours = predict(by_torch, *draw(**meta)), predict(fast, *draw(**meta))
        assert agreement(ours, theirs) > share
        assert ('seg_logits' in ours[0]) == (probabilities or 'flip' in meta)

    sizes = [(33, 40 + 9 * i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda size: predict(fast, *draw(size=size)), sizes))
    for size, found in zip(sizes, together):
        assert agreement(found, predict(fast, *draw(size=size))) == 1


def test_bfloat16_by_pytorch(segmentor):
    model, kinds = spread_classes(segmentor()), []
    fast = copy.deepcopy(model).speed_up(precision='bf16')
    fast.decode_head.conv_seg.register_forward_hook(lambda *_: kinds.append(_[-1].dtype))
    assert agreement(predict(fast, *draw()), predict(model, *draw())) > 0.95
    assert kinds == [torch.bfloat16]
