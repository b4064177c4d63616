from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from benchmarks.camvid_variants import VARIANTS, FrozenBackboneHook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch import nn


def parts():
    return nn.ModuleDict(
        {
            name: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
            for name in ('backbone', 'decode_head')
        }
    )


def batch(cfg):
    size = cfg.model.data_preprocessor.size
    labels = torch.randint(0, 11, (2, 1, *size))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in labels]
    return torch.randn(2, 3, *size), samples


def built(name, weights=None):
    init_default_scope('mmseg')
    cfg = VARIANTS[name](weights)
    return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('name, size', [('ours_r18', (177, 241)), ('mmseg_r18', (176, 240))])
def test_both_sides_take_a_step_on_their_crop(name, size):
    cfg, model = built(name)
    crops = [t.crop_size for t in cfg.train_dataloader.dataset.pipeline if 'crop_size' in t]
    assert crops == [size]
    losses = model.loss(*batch(cfg))
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    assert ('aux.loss_ce' in losses) == (name == 'mmseg_r18')


def test_mmseg_keeps_its_own_style():
    cfg, model = built('mmseg_r18')
    kinds = [transform.type for transform in cfg.train_dataloader.dataset.pipeline]
    assert 'PhotoMetricDistortion' in kinds and 'RandomNativeScale' not in kinds
    assert cfg.param_scheduler[0].type == 'PolyLR' and cfg.optim_wrapper.optimizer.lr == 0.01
    assert type(model).__name__ == 'EncoderDecoder'
    assert type(model.decode_head).__name__ == 'ASPPHead'
    maps = model.extract_feat(torch.zeros(1, 3, 176, 240))
    assert maps[-1].shape[-2:] == (22, 30)  # its output_stride is 8


def rates(name):
    """Learning rate of each part's convolution."""
    model = parts()
    wrapper = build_optim_wrapper(model, VARIANTS[name](None).optim_wrapper)
    of = {id(group['params'][0]): group['lr'] for group in wrapper.param_groups}
    return [of[id(model[part][0].weight)] for part in ('backbone', 'decode_head')]


def test_the_rates_of_backbone_and_head():
    backbone, head = rates('pretrained')
    assert head == backbone == 0.05
    assert rates('head_x10') == pytest.approx([backbone / 10, head])
    assert rates('lr_0.02') == pytest.approx([0.02, 0.02])


def test_frozen_statistics_are_those_of_the_backbone_alone():
    model = parts().train()
    FrozenBackboneHook().before_train_iter(SimpleNamespace(model=model), 0)
    assert [model[part][1].training for part in ('backbone', 'decode_head')] == [False, True]
    kinds = [hook['type'] for hook in VARIANTS['bn_frozen_backbone'](None).custom_hooks]
    assert kinds[-1] == 'benchmarks.camvid_variants.FrozenBackboneHook'


def test_bootstrapping_repeats_images_with_many_pixels_of_a_hard_class(tmp_path):
    for kind in ('images', 'annotations'):
        (tmp_path / kind).mkdir()
    for name, pixels in (('few', 399), ('many', 400)):
        mask = np.zeros((180, 240), np.uint8)
        for row, kind in enumerate((2, 6, 9, 10)):
            mask.flat[1000 * row : 1000 * row + pixels] = kind
        cv2.imwrite(str(tmp_path / f'annotations/{name}.png'), mask)
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), mask[..., None].repeat(3, 2))
    cfg = VARIANTS['bootstrap_3'](None).train_dataloader.dataset
    cfg.dataset.update(
        data_root=str(tmp_path), data_prefix=dict(img_path='images', seg_map_path='annotations')
    )
    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg)
    names = [dataset.get_data_info(i)['img_path'].rpartition('/')[2] for i in range(len(dataset))]
    assert sorted(names) == ['few.jpg', 'many.jpg', 'many.jpg', 'many.jpg']


# median frequency over that of the class, the order is CamVid's
FREQUENT = (0.28, 0.2, 4.8, 0.15, 1.0, 0.42, 3.84, 1.98, 0.79, 6.38, 8.82)


def test_class_weights_are_those_of_the_loss():
    init_default_scope('mmseg')
    head = VARIANTS['class_weights'](None).model.decode_head
    loss = MODELS.build(head.loss_decode)
    assert type(loss).__name__ == 'UpsampledCrossEntropyLoss'
    assert tuple(loss.class_weight) == FREQUENT


def test_ohem_samples_hard_pixels():
    head = VARIANTS['ohem'](None).model.decode_head
    assert head.sampler == dict(type='OHEMPixelSampler', thresh=0.7, min_kept=100_000)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file of random weights of EfficientNet-Lite0, with a stem that is told at once."""
    timm = pytest.importorskip('timm', reason='the second environment has timm')
    state = timm.create_model('tf_efficientnet_lite0').state_dict()
    state['conv_stem.weight'].fill_(0.25)
    path = tmp_path_factory.mktemp('weights') / 'lite0.pth'
    torch.save(state, path)
    return path


@pytest.mark.parametrize('name', ['pretrained', 'mmseg_pretrained', 'class_weights', 'ohem'])
def test_the_backbone_starts_from_the_file(name, weights):
    cfg, model = built(name, weights)
    model.init_weights()
    stem = next(model.backbone.parameters())
    assert torch.equal(stem, torch.full_like(stem, 0.25))
    assert list(cfg.model.data_preprocessor.mean) == [127.5] * 3
    assert all(torch.isfinite(loss).all() for loss in model.loss(*batch(cfg)).values())
    head = model.decode_head
    assert (type(head.sampler).__name__ == 'OHEMPixelSampler') == (name == 'ohem')
    assert bool(head.loss_decode.class_weight) == (name == 'class_weights')


@pytest.mark.parametrize('name, branches', [('no_aspp', 1), ('rates_4', 5), ('no_image_pool', 4)])
def test_the_heads_of_table_5(name, branches, weights):
    cfg, model = built(name, weights)
    width = cfg.model.decode_head.get('channels', 256)
    assert model.decode_head.bottleneck.conv.in_channels == branches * width
    assert all(torch.isfinite(loss).all() for loss in model.loss(*batch(cfg)).values())


@pytest.mark.parametrize('stride, rows', [(8, 21), (32, 6)])
def test_trained_at_another_output_stride(stride, rows, weights):
    _, model = built(f'trained_at_{stride}', weights)
    assert model.output_strides == dict(train=stride, test=16)
    assert model.train().extract_feat(torch.zeros(1, 3, 161, 225))[-1].shape[2] == rows


def test_table_8(weights):
    cfg, model = built('small_crop', weights)
    crops = [t.crop_size for t in cfg.train_dataloader.dataset.pipeline if 'crop_size' in t]
    assert crops == [(97, 145)] and cfg.model.data_preprocessor.size == (97, 145)
    assert all(torch.isfinite(loss).all() for loss in model.loss(*batch(cfg)).values())
    _, model = built('bn_frozen', weights)
    assert not any(m.training for m in model.train().modules() if isinstance(m, nn.BatchNorm2d))
    assert built('labels_down', weights)[1].decode_head.loss_size == 'logits'


def test_scratch_does_not(weights):
    _, model = built('scratch', weights)
    model.init_weights()
    assert not (next(model.backbone.parameters()) == 0.25).any()


@pytest.mark.parametrize(
    'name, backbone, head',
    [('pretrained', 0.1, 0.1), ('bn_paper_backbone', 0.0003, 0.1), ('bn_paper', 0.0003, 0.0003)],
)
def test_bn_momentum(name, backbone, head, weights):
    _, model = built(name, weights)
    for part, momentum in ((model.backbone, backbone), (model.decode_head, head)):
        layers = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
        assert layers and {m.momentum for m in layers} == {momentum}
