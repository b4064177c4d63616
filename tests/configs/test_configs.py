"""Every config builds, trains an iteration, validates an image and evaluates one with TTA.

At reduced width and crop, on two images in the dataset's own layout.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.apis import MMSegInferencer
from mmseg.registry import MODELS
from PIL import Image

import mmseg_deeplabv3x  # noqa: F401

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
WIDTH, CROP, IMAGES = 8, 65, ('a', 'b')


def leaves(dataset: Config) -> Iterator[Config]:
    """The datasets inside any wrappers."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    for part in inner:
        yield from leaves(part) if part else [dataset]


def write_data(root: Path, dataset: Config, num_classes: int) -> None:
    """Write two images and masks with all classes where the dataset expects them."""
    rng = np.random.default_rng(0)
    suffixes = {'CityscapesDataset': ('_leftImg8bit.png', '_gtFine_labelTrainIds.png')}
    image_suffix, label_suffix = suffixes.get(dataset.type, ('.jpg', '.png'))
    label_suffix = dataset.get('seg_map_suffix', label_suffix)
    for name in IMAGES:
        image = root / dataset.data_prefix.img_path / (name + image_suffix)
        label = root / dataset.data_prefix.seg_map_path / (name + label_suffix)
        for path, values, shape in ((image, 256, (72, 96, 3)), (label, num_classes, (72, 96))):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, values, shape, dtype=np.uint8)).save(path)
    if dataset.get('ann_file'):
        split = root / dataset.ann_file
        split.parent.mkdir(parents=True, exist_ok=True)
        split.write_text('\n'.join(IMAGES) + '\n')


def reduced(name: str, root: Path) -> Config:
    """Load a config at the smallest width, crop and length; its structure stays."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    model = cfg.model
    if model.backbone.type == 'AtrousBackbone':
        pytest.importorskip('timm', reason='its backbone comes from timm: install the extra timm')
        model.backbone.backbone.update(pretrained=False, init_cfg=None)
        narrow = model.decode_head.in_channels
    else:
        model.backbone.update(base_channels=WIDTH, init_cfg=None)
        narrow = WIDTH * 8 * (1 if model.backbone.depth < 50 else 4)
    model.data_preprocessor.size = (CROP, CROP)
    model.decode_head.in_channels = narrow
    model.decode_head.channels = narrow if model.decode_head.type == 'UpsampledFCNHead' else WIDTH
    if 'neck' in model:
        model.neck.base_channels = WIDTH
    if 'auxiliary_head' in model:
        model.auxiliary_head.update(in_channels=narrow // 2, channels=WIDTH)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=min(loader.batch_size, 2), num_workers=0)
        loader.persistent_workers = False
        for dataset in leaves(loader.dataset):
            dataset.data_root = str(root)
            if not dataset.get('data_prefix'):
                dataset.data_prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
            for transform in dataset.pipeline:
                for key in ('crop_size', 'size', 'scale'):
                    if key in transform:
                        transform[key] = (CROP, CROP)
            write_data(root, dataset, model.decode_head.num_classes)
    cfg.test_dataloader.dataset.indices = cfg.val_dataloader.dataset.indices = 1
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.update(work_dir=str(root / 'work_dir'), load_from=None, log_level='WARNING')
    return cfg


@pytest.fixture
def unformatted(monkeypatch):
    """The runner logs its config several times, and making it pretty takes most of the time."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, True))


@pytest.mark.usefixtures('unformatted')
@pytest.mark.parametrize('name', NAMES)
def test_trains_validates_and_evaluates_with_tta(name, tmp_path):
    cfg = reduced(name, tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert (tmp_path / 'work_dir' / 'iter_1.pth').exists()

    tta = reduced(name, tmp_path)
    tta.test_dataloader.dataset.pipeline = tta.tta_pipeline
    tta.model = dict(**tta.tta_model, module=tta.model)
    tta.load_from = str(tmp_path / 'work_dir' / 'iter_1.pth')
    tta.experiment_name = f'{name}_tta'
    assert 0 <= Runner.from_cfg(tta).test()['mIoU'] <= 100


@pytest.mark.parametrize('base', ['camvid', 'cityscapes', 'coco_voc', 'shapes', 'voc_trainval'])
def test_num_workers_0_needs_no_other_setting(base):
    """A PyTorch loader refuses to have persistent workers but none."""
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{base}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert not loader.get('persistent_workers')


def test_mmsegs_inferencer_takes_a_config_of_ours(tmp_path):
    """It looks for stock names in the test pipeline."""
    cfg = reduced('deeplabv3x_r18_os16_shapes', tmp_path)
    cfg.dump(tmp_path / 'config.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'weights.pth')
    inferencer = MMSegInferencer(
        str(tmp_path / 'config.py'), str(tmp_path / 'weights.pth'), device='cpu'
    )
    found = inferencer(str(tmp_path / 'JPEGImages/a.jpg'), show=False)
    assert found['predictions'].shape == (72, 96)


@pytest.mark.parametrize('name', NAMES)
def test_the_name_tells_backbone_output_stride_and_data(name):
    prefix, backbone, *variant, output_stride, data = name.split('_')
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert prefix == 'deeplabv3x'
    if cfg.model.backbone.type == 'AtrousBackbone':
        model_name = cfg.model.backbone.backbone.model_name.replace('_', '')
        assert backbone.replace('effnet', 'efficientnet') in model_name
    else:
        assert backbone == f'r{cfg.model.backbone.depth}'
    evaluated_at = cfg.model.output_stride
    if isinstance(evaluated_at, dict):
        evaluated_at = evaluated_at['test']
    assert output_stride == f'os{evaluated_at}'
    for dataset in leaves(cfg.train_dataloader.dataset):
        assert data in f'{dataset.type} {dataset.data_root}'.lower()
    assert ('cascade7' in variant) == ('neck' in cfg.model)


@pytest.mark.parametrize(
    'name', [name for name in NAMES if name.endswith('voc') and 'mmseg' not in name]
)
def test_voc_has_the_papers_protocol(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    stage2 = 'stage2' in name
    assert cfg.train_dataloader.batch_size == 16
    assert cfg.train_cfg.max_iters == 30000
    assert cfg.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.001 if stage2 else 0.007, momentum=0.9, weight_decay=1e-4
    )
    assert cfg.model.data_preprocessor.size == (513, 513)
    backbone = cfg.model.backbone
    momentum = backbone.norm_cfg.momentum if 'depth' in backbone else backbone.backbone.bn_momentum
    assert momentum == pytest.approx(1 - 0.9997)
    assert cfg.model.freeze_bn == stage2
