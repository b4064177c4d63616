"""docs/differences.md is true: its quotes and tests are there, and each difference is shown."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import mmengine
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / 'docs/differences.md').read_text()
SECTIONS = dict(re.findall(r'^## (.+)\n((?:(?!## ).*\n?)*)', DOCUMENT, re.M))
QUOTES = sorted(set(re.findall(r'`(mm\w+)/(\S+\.py)` \(`([^`]+)`\)', DOCUMENT)))
NAMED_TESTS = sorted(set(re.findall(r'`(tests/\S+\.py)::(\w+)`', DOCUMENT)))

STOCK = 'mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py'
STOCK_MULTI_GRID = 'mmseg::deeplabv3/deeplabv3_r101-d16-mg124_4xb2-40k_cityscapes-512x1024.py'
PUBLISHED = ROOT / 'configs/deeplabv3x_r101_mmseg_os8_voc.py'
PAPERS = ROOT / 'configs/deeplabv3x_r101_os8_voc.py'


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope('mmseg')


# ---- the document


@pytest.mark.parametrize('title', SECTIONS)
def test_each_difference_quotes_mmseg_the_paper_and_a_test(title):
    text = SECTIONS[title]
    assert re.search(r'`mm\w+/\S+\.py` \(`', text)
    assert '| paper |' in text
    assert re.search(r'`tests/\S+::test_', text)


@pytest.mark.parametrize('package,path,quoted', QUOTES)
def test_the_file_has_the_text_that_is_quoted(package, path, quoted):
    folder = Path(importlib.import_module(package).__file__).parent
    assert quoted in ' '.join((folder / path).read_text().split())


@pytest.mark.parametrize('path,name', NAMED_TESTS)
def test_the_named_test_is_there(path, name):
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# ---- the differences, in the document's order


def configs() -> tuple[Config, Config]:
    """mmseg's stock config and our headline."""
    return get_config(STOCK), Config.fromfile(PAPERS)


def build(cfg: dict) -> nn.Module:
    """Build from a config, in evaluation mode, with weights and BN as if it had been trained."""
    torch.manual_seed(0)
    module = MODELS.build(ConfigDict(cfg))
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, _BatchNorm):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    module.eval()
    return module


def mmsegs_backbone(**changes) -> nn.Module:
    """mmseg's ResNet, narrow; output_stride 32 unless changed."""
    return build(dict(dict(type='ResNet', depth=50, stem_channels=8, base_channels=8), **changes))


def our_backbone(**changes) -> nn.Module:
    return build(dict(dict(type='AtrousResNet', depth=50, base_channels=8), **changes))


def mmsegs_model(**backbone) -> nn.Module:
    """mmseg's stock DeepLabV3, narrow."""
    cfg = get_config(STOCK).model
    cfg.pretrained = None
    cfg.backbone.update(depth=18, base_channels=8, stem_channels=8, **backbone)
    cfg.decode_head.update(in_channels=64, channels=16)
    cfg.auxiliary_head.update(in_channels=32, channels=16)
    return build(cfg)


def our_model(**changes) -> nn.Module:
    """The model of our headline config, narrow."""
    cfg = Config.fromfile(PAPERS).model
    cfg.update(changes)
    cfg.backbone.update(depth=18, multi_grid=None, base_channels=8, init_cfg=None)
    cfg.decode_head.update(in_channels=64, channels=16)
    return build(cfg)


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    assert value.shape == reference.shape
    return ((value - reference).norm() / reference.norm()).item()


@torch.no_grad()
def atrous_error(atrous: nn.Module, strided: nn.Module) -> float:
    """How far a network with rates is from its own strided version, where that has values."""
    strided.load_state_dict(atrous.state_dict())
    image = torch.randn(1, 3, 225, 225, generator=torch.Generator().manual_seed(0))
    dense, sparse = atrous(image)[-1], strided(image)[-1]
    step = dense.shape[-1] // sparse.shape[-1] + 1
    return relative_error(dense[..., ::step, ::step], sparse)


def rates(block: nn.Module) -> list[int]:
    return [unit.conv2.dilation[0] for unit in block]


def aspp_rates(head: nn.Module) -> list[int]:
    return [branch.conv.dilation[0] for branch in list(head.aspp_modules)[1:]]


def norms(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def test_multi_grid():
    stock = get_config(STOCK_MULTI_GRID).model.backbone
    at_16 = dict(strides=stock.strides, dilations=stock.dilations, multi_grid=stock.multi_grid)
    theirs = mmsegs_backbone(**at_16, contract_dilation=True)
    assert rates(theirs.layer4) == [1, 2, 4]
    assert rates(our_backbone(multi_grid=(1, 2, 4), contract_dilation=False).layer4) == [2, 4, 8]

    assert atrous_error(theirs, mmsegs_backbone(multi_grid=(1, 2, 4))) > 0.1
    ours = [our_backbone(multi_grid=(1, 2, 4), output_stride=n) for n in (16, 32)]
    assert rates(ours[0].layer4) == [1, 4, 8]
    assert atrous_error(*ours) < 1e-5


@pytest.mark.parametrize('output_stride', [16, 8])
def test_first_unit_rate(output_stride):
    strided = our_backbone(output_stride=32)
    errors = {}
    for kept in (True, False):
        atrous = our_backbone(output_stride=output_stride, contract_dilation=kept)
        errors[kept] = atrous_error(atrous, strided)
    print(f'\noutput_stride {output_stride}: earlier rate {errors[True]:.1e}, ', end='')
    print(f'full rate {errors[False]:.2f}')
    assert errors[True] < 1e-5
    assert 0.1 < errors[False] < 0.4


def test_basic_unit_second_convolution():
    theirs = dict(depth=18, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True)
    assert atrous_error(mmsegs_backbone(**theirs), mmsegs_backbone(depth=18)) > 0.1
    assert atrous_error(*[our_backbone(depth=18, output_stride=n) for n in (16, 32)]) < 1e-5


def test_cascade():
    five = dict(num_stages=5, strides=(1, 2, 1, 1, 1), dilations=(1, 1, 2, 4, 8))
    with pytest.raises(AssertionError):
        mmsegs_backbone(**five)
    cascade = build(dict(type='CascadeNeck', depth=50, base_channels=8, output_stride=16))
    last = [rates(block)[-1] for block in (cascade.block5, cascade.block6, cascade.block7)]
    assert last == [4, 8, 16]


def test_aspp_rates():
    image = torch.zeros(1, 3, 65, 65)
    theirs = mmsegs_model(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    assert theirs.backbone(image)[-1].shape[-1] == 5  # output_stride 16
    assert aspp_rates(theirs.decode_head) == [12, 24, 36]

    ours = our_model()
    for training, side, expected in ((True, 5, [6, 12, 18]), (False, 9, [12, 24, 36])):
        ours.train(training)
        assert ours.backbone(image)[-1].shape[-1] == side
        assert aspp_rates(ours.decode_head) == expected


def test_aspp_size():
    def size(channels, kernel):
        branches = (2 + 3 * 9) * 2048 * channels
        projection = kernel * kernel * 5 * channels * channels
        return branches + projection + 6 * 2 * channels + (channels + 1) * 21

    with torch.device('meta'):
        heads = [MODELS.build(cfg.model.decode_head) for cfg in configs()]
    found = [sum(p.numel() for p in head.parameters()) for head in heads]
    assert found == [size(512, 3), size(256, 1)]
    assert [round(number / 1e6, 1) for number in found] == [42.2, 15.5]


def test_auxiliary_head_and_deep_stem():
    theirs, ours = configs()
    assert theirs.model.auxiliary_head.loss_decode.loss_weight == 0.4
    assert hasattr(mmsegs_model().backbone, 'stem')
    assert 'auxiliary_head' not in ours.model
    assert our_model().backbone.conv1.kernel_size == (7, 7)


@pytest.fixture
def voc_image(tmp_path):
    """What a dataset gives of an image of 500x375, the usual size in PASCAL VOC."""
    for name in ('image.jpg', 'labels.png'):
        Image.new('L', (500, 375)).save(tmp_path / name)
    paths = dict(img_path=str(tmp_path / 'image.jpg'), seg_map_path=str(tmp_path / 'labels.png'))
    return dict(paths, label_map=None, reduce_zero_label=False, seg_fields=[])


def test_native_scale_in_training(voc_image):
    sizes = []
    for cfg in configs():
        *load, scale = cfg.train_pipeline[:3]
        scale.update(ratio_range=(1.0, 1.0))
        sizes.append(Compose([*load, scale])(dict(voc_image))['img'].shape[:2])
    assert sizes == [(512, 683), (375, 500)]


def test_native_scale_in_evaluation(voc_image):
    sizes = []
    for cfg in configs():
        whole = Compose(cfg.test_pipeline)(dict(voc_image))['inputs']
        views = Compose(cfg.tta_pipeline)(dict(voc_image))['inputs']
        sizes.append([tuple(view.shape[1:]) for view in (whole, views[4])])  # 0.5, 0.75, 1; twice
    assert sizes == [[(512, 683), (375, 500)], [(375, 500), (375, 500)]]


def test_padding_follows_normalisation():
    filled = []
    for cfg in configs():
        names = ('RandomCrop', 'RandomScaleCropFlip', 'Pad', 'PackSegInputs', 'SplitPackSegInputs')
        steps = [step for step in cfg.train_pipeline if step.type in names]
        if steps[0].type == 'RandomScaleCropFlip':
            steps[0].ratio_range = (1.0, 1.0)
        image = np.full((40, 40, 3), 200, np.uint8)
        small = dict(img=image, gt_seg_map=image[..., 0], seg_fields=['gt_seg_map'])
        assert TRANSFORMS.build(steps[0])(dict(small))['img'].shape == (40, 40, 3)  # never pads
        sample = Compose(steps)(dict(small))
        batch = {key: [value] for key, value in sample.items()}
        batch = MODELS.build(cfg.model.data_preprocessor)(batch, training=True)
        assert batch['inputs'].shape[2:] == cfg.model.data_preprocessor.size
        assert batch['data_samples'][0].gt_sem_seg.data[0, -1, -1] == 255
        filled.append(batch['inputs'][0, :, -1, -1])
    mean, std = (torch.tensor(cfg.model.data_preprocessor[key]) for key in ('mean', 'std'))
    torch.testing.assert_close(filled[0], -mean / std)  # black
    assert filled[1].tolist() == [0, 0, 0]  # the mean colour


def test_positions_of_logits():
    """Position k of the map looks at pixel k * output_stride."""
    image, metas = torch.randn(1, 3, 65, 65), [dict(img_shape=(65, 65))]
    errors = []
    for model in (mmsegs_model(), our_model(output_stride=8)):
        with torch.no_grad():
            logits = model.encode_decode(image, metas)
            errors.append(relative_error(logits[..., ::8, ::8], model(image)))
    assert errors[0] > 0.1
    assert errors[1] < 1e-5


def test_dropout():
    assert isinstance(mmsegs_model().decode_head.dropout, nn.Dropout2d)
    assert type(our_model().decode_head.dropout) is nn.Dropout


def test_frozen_bn():
    theirs = mmsegs_model(norm_eval=True)
    theirs.train()
    assert not any(norm.training for norm in norms(theirs.backbone))
    assert all(norm.training for norm in norms(theirs.decode_head))
    assert all(p.requires_grad for norm in norms(theirs) for p in norm.parameters())

    ours = our_model(freeze_bn=True)
    ours.train()
    assert len(norms(ours.decode_head)) == 6
    assert not any(norm.training for norm in norms(ours))
    assert not any(p.requires_grad for norm in norms(ours) for p in norm.parameters())


def test_loss_normalisation():
    logits, labels = torch.randn(2, 21, 9, 9), torch.randint(21, (2, 1, 65, 65))
    labels[..., 26:, :] = 255  # 60 %
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    for model, share in ((mmsegs_model(), 0.4), (our_model(), 1.0)):
        head = model.decode_head
        large = F.interpolate(logits, (65, 65), mode='bilinear', align_corners=head.align_corners)
        expected = F.cross_entropy(large, labels[:, 0], ignore_index=255) * share
        found = head.loss_by_feat(logits, samples)['loss_ce']
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_poly_end():
    def last_rate(base, scheduler, **changes):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
        scheduler = PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer, **changes))
        for _ in range(99):  # to the last of 100 iterations
            optimizer.step()
            scheduler.step()
        return optimizer.param_groups[0]['lr']

    theirs, ours = (cfg.param_scheduler[0] for cfg in configs())
    assert last_rate(0.01, theirs, end=100) == theirs.eta_min == 1e-4
    exact = 0.007 * (1 - 99 / 100) ** 0.9
    assert last_rate(0.007, ours, end=100) == pytest.approx(exact, rel=1e-12)
    # what mmseg's own can do
    remedy = last_rate(0.007, theirs, end=101, eta_min=0)
    assert remedy == pytest.approx(exact, rel=1e-10)


def test_recipe():
    theirs, ours = configs()
    kinds = [[step.type for step in cfg.train_pipeline] for cfg in (theirs, ours)]
    assert 'PhotoMetricDistortion' in kinds[0] and 'PhotoMetricDistortion' not in kinds[1]
    assert theirs.train_pipeline[3].cat_max_ratio == 0.75
    assert 'cat_max_ratio' not in ours.train_pipeline[3]
    assert dict(theirs.optimizer) == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
    assert {norm.momentum for norm in norms(mmsegs_model())} == {0.1}
    assert {norm.momentum for norm in norms(our_model())} == {0.0003}


def test_class_balanced_dataset(shapes_root):
    stock = dict(
        type='PascalVOCDataset',
        data_root=str(shapes_root),
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
    )
    balanced = dict(type='ClassBalancedDataset', oversample_thr=0.5)
    with pytest.raises(NotImplementedError):
        DATASETS.build(dict(balanced, dataset=stock))
    ours = dict(type='BootstrapDataset', dataset=stock, hard_classes=[1], times=1)
    assert len(DATASETS.build(dict(balanced, dataset=ours))) >= 3


# ---- mmseg's published model


def test_published_checkpoint_is_the_one_of_the_stock_config():
    cfg, text = Config.fromfile(PUBLISHED), PUBLISHED.read_text()
    assert f"_base_ = '{STOCK}'" in text
    package = Path(importlib.import_module('mmseg').__file__).parent
    models = mmengine.load(package / '.mim/configs/deeplabv3/metafile.yaml')['Models']
    (entry,) = [m for m in models if m['Config'] == STOCK.replace('mmseg::', 'configs/')]
    assert cfg.load_from == entry['Weights']
    metrics = entry['Results']['Metrics']
    for value in (metrics['mIoU'], metrics['mIoU(ms+flip)']):
        assert str(value) in text
        assert str(value) in (ROOT / 'docs/configs.md').read_text()


def test_published_model_is_mmsegs():
    """Every key and shape, output and loss; at full width, on a small image."""
    stock = get_config(STOCK).model
    stock.pretrained = None
    theirs = build(stock)
    weights = theirs.state_dict()
    with torch.device('meta'):
        ours = MODELS.build(Config.fromfile(PUBLISHED).model)
    shapes = [{k: v.shape for k, v in state.items()} for state in (ours.state_dict(), weights)]
    assert shapes[0] == shapes[1]
    ours.load_state_dict(weights, assign=True)
    ours.eval()

    image, metas = torch.randn(1, 3, 65, 65), [dict(img_shape=(65, 65))]
    labels = torch.randint(21, (1, 65, 65))
    labels[:, :20] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=labels))]
    with torch.no_grad():
        expected = theirs.encode_decode(image, metas)
        assert relative_error(ours.encode_decode(image, metas), expected) < 1e-5
        found, expected = (dict(model.loss(image, samples)) for model in (ours, theirs))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


def test_one_channel_is_averaged_as_it_is():
    """Both models get the views of an image that holds no foreground at all."""

    class Segmentor(nn.Module):
        out_channels, decode_head = 1, SimpleNamespace(threshold=0.3)

        def test_step(self, data):
            probability = PixelData(data=torch.full((1, 2, 2), 0.01))
            return [SegDataSample(seg_logits=probability, metainfo=dict(img_path='a.png'))]

    data = dict(inputs=[[0], [0]], data_samples=[[0], [0]])
    kinds = ('RunningMeanTTAModel', 'SegTTAModel')
    ours, theirs = (
        MODELS.get(kind)(Segmentor()).test_step(data)[0].pred_sem_seg.data for kind in kinds
    )
    assert (ours == 0).all()
    assert (theirs == 1).all()
