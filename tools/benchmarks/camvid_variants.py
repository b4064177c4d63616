"""What the subject ``camvid`` trains, by name."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hub import get_config
from torch.nn.modules.batchnorm import _BatchNorm

CONFIGS = Path(__file__).parents[2] / 'configs'
EFFICIENTNET = 'deeplabv3x_effnetlite0_os16_camvid.py'
STOCK = 'mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py'
OUR_CROP, THEIR_CROP = (177, 241), (176, 240)
# on the grid of output_stride 8, 16 and 32; the paper's 321/513 of that, on the grid of 16
ALIGNED_CROP, SMALL_CROP = (161, 225), (97, 145)
PAPER_MOMENTUM, PAPER_RATE = 0.0003, 0.007
# nearly every image holds some pixels of these: 366 of 367; a hundredth of a halved image in 260
MIN_PIXELS = 400
HARD_CLASSES = ('pole', 'signsymbol', 'pedestrian', 'bicyclist')
# median frequency over that of the class, of the halved masks to train on; the frequency is of the
# images that hold the class
CLASS_WEIGHTS = (0.28, 0.2, 4.8, 0.15, 1.0, 0.42, 3.84, 1.98, 0.79, 6.38, 8.82)


class FrozenBackboneHook(Hook):
    """Keeps the BN statistics of the backbone as they were loaded; weights and biases train."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set the backbone's BN to evaluation."""
        for module in runner.model.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def ours(
    config: str, weights: str | None = None, crop: tuple[int, int] = OUR_CROP, **options
) -> Config:
    """One of our configs for images of half the size.

    Args:
        config: Its name.
        weights: File that a backbone of timm takes its weights from. Default: what the config says.
        crop: Height and width.
        **options: Changed settings: ``__`` stands for a dot.
    """
    cfg = Config.fromfile(CONFIGS / config)
    set_crop(cfg, crop)
    if weights and 'backbone' in cfg.model.backbone:
        checkpoint = str(Path(weights).absolute())
        cfg.model.backbone.backbone.update(
            pretrained=False, init_cfg=dict(type='Pretrained', checkpoint=checkpoint)
        )
    cfg.merge_from_dict({name.replace('__', '.'): value for name, value in options.items()})
    return cfg


def scratch(weights: str | None) -> Config:
    """The pretrained network's config without the weights."""
    cfg = ours(EFFICIENTNET)
    cfg.model.backbone.backbone.pretrained = False
    return cfg


def head_times_10(weights: str | None) -> Config:
    """The head, which starts from nothing, at the config's rate, the backbone at a tenth of it."""
    cfg = pretrained(weights)
    cfg.optim_wrapper.paramwise_cfg.custom_keys = dict(backbone=dict(lr_mult=0.1))
    return cfg


def frozen(weights: str | None) -> Config:
    """The backbone's BN statistics stay."""
    cfg = pretrained(weights)
    cfg.custom_hooks.append(dict(type=f'{__name__}.FrozenBackboneHook'))
    return cfg


def bootstrap(weights: str | None, times: int) -> Config:
    """Images that hold a hard class appear several times."""
    cfg = pretrained(weights)
    cfg.train_dataloader.dataset = dict(
        type='BootstrapDataset',
        dataset=cfg.train_dataloader.dataset,
        hard_classes=HARD_CLASSES,
        times=times,
        min_pixels=MIN_PIXELS,
    )
    return cfg


def trained_at(weights: str | None, stride: int) -> Config:
    """Trained at another output_stride, evaluated at 16."""
    cfg = reference(weights)
    cfg.model.output_stride = dict(train=stride, test=16)
    return cfg


def mmseg(weights: str | None) -> Config:
    """DeepLabV3 of mmseg with ResNet-18, by its own config but for data and length."""
    cfg, stock = ours('deeplabv3x_r18_os16_camvid.py'), get_config(STOCK)
    set_style(cfg, stock)
    model = copy.deepcopy(stock.model)
    model.pretrained = None
    model.backbone.norm_cfg = dict(type='BN')
    set_model(cfg, model)
    return cfg


def mmseg_head(weights: str | None) -> Config:
    """The heads of mmseg, at its output_stride, on the pretrained EfficientNet-Lite0; its style."""
    cfg, stock = pretrained(weights), get_config(STOCK)
    set_style(cfg, stock)
    model = copy.deepcopy(stock.model)
    model.pop('pretrained')
    model.backbone = dict(cfg.model.backbone, output_stride=8)
    model.data_preprocessor.update(
        {name: cfg.model.data_preprocessor[name] for name in ('mean', 'std')}
    )
    model.decode_head.update(in_channels=320, in_index=4)
    model.auxiliary_head.update(in_channels=112, in_index=3)
    set_model(cfg, model)
    return cfg


def set_model(cfg: Config, model: dict) -> None:
    """Put a model of mmseg's in, on one process and for the classes of CamVid."""
    for head in (model.decode_head, model.auxiliary_head):
        head.update(num_classes=11, norm_cfg=dict(type='BN'))
    cfg.model = model
    set_crop(cfg, THEIR_CROP)


def set_style(cfg: Config, stock: Config) -> None:
    """Take mmseg's own pipeline, optimizer and schedule."""
    cfg.optim_wrapper = stock.optim_wrapper
    cfg.param_scheduler = [dict(stock.param_scheduler[0])]
    pipeline = copy.deepcopy(stock.train_dataloader.dataset.pipeline)
    for transform in pipeline:
        if transform.type == 'RandomResize':
            transform.scale = (240, 180)
    cfg.train_dataloader.dataset.pipeline = pipeline


def set_crop(cfg: Config, size: tuple[int, int]) -> None:
    """Set the crop of a training, height and width."""
    for transform in cfg.train_dataloader.dataset.pipeline:
        if 'crop_size' in transform:
            transform.crop_size = size
    cfg.model.data_preprocessor.size = size


pretrained = partial(ours, EFFICIENTNET)
reference = partial(pretrained, crop=ALIGNED_CROP)

Variants = dict[str, Callable[[str | None], Config]]  # each takes the file of weights, or None

RECIPES: Variants = {
    'scratch': scratch,
    'pretrained': pretrained,
    'head_x10': head_times_10,
    'lr_0.02': partial(pretrained, optim_wrapper__optimizer__lr=0.02),
    'lr_0.007': partial(pretrained, optim_wrapper__optimizer__lr=PAPER_RATE),
    'bn_paper': partial(
        pretrained,
        model__backbone__backbone__bn_momentum=PAPER_MOMENTUM,
        model__decode_head__norm_cfg__momentum=PAPER_MOMENTUM,
    ),
    'bn_paper_backbone': partial(pretrained, model__backbone__backbone__bn_momentum=PAPER_MOMENTUM),
    'bn_frozen_backbone': frozen,
    'bootstrap_2': partial(bootstrap, times=2),
    'bootstrap_3': partial(bootstrap, times=3),
    'class_weights': partial(
        pretrained,
        model__decode_head__loss_decode=dict(
            type='UpsampledCrossEntropyLoss', class_weight=CLASS_WEIGHTS
        ),
    ),
    'ohem': partial(
        pretrained,
        model__decode_head__sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=100_000),
    ),
    'ours_r18': partial(ours, 'deeplabv3x_r18_os16_camvid.py'),
    'mmseg_r18': mmseg,
    'mmseg_pretrained': mmseg_head,
}
# what the rows of the paper's tables change
OF_TABLES: Variants = {
    'reference': reference,
    # Table 5
    'no_image_pool': partial(reference, model__decode_head__image_pool=False),
    'rates_4': partial(
        reference, model__decode_head__image_pool=False, model__decode_head__rates=(6, 12, 18, 24)
    ),
    'no_aspp': partial(
        reference, model__decode_head__image_pool=False, model__decode_head__rates=()
    ),
    # Table 8
    'labels_down': partial(reference, model__decode_head__loss_size='logits'),
    'small_crop': partial(pretrained, crop=SMALL_CROP),
    'rate_paper': partial(reference, optim_wrapper__optimizer__lr=PAPER_RATE),
    'bn_frozen': partial(reference, optim_wrapper__optimizer__lr=PAPER_RATE, model__freeze_bn=True),
    # Table 9
    'batch_2': partial(reference, train_dataloader__batch_size=2),
    'batch_4': partial(reference, train_dataloader__batch_size=4),
    'batch_16': partial(reference, train_dataloader__batch_size=16),
    # Table 10
    'trained_at_8': partial(trained_at, stride=8),
    'trained_at_32': partial(trained_at, stride=32),
}
VARIANTS = RECIPES | OF_TABLES
