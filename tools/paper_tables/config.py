"""From a row to a config: the paper's own, or the same change in small on another dataset."""

import copy
import functools
import os.path as osp
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmseg.models.backbones import ResNet

from mmseg_deeplabv3x.cli.tta import set_views
from mmseg_deeplabv3x.paper.rows import (
    CITYSCAPES,
    FINE_AND_COARSE,
    PAPER_BATCH_SIZE,
    PAPER_CROP,
    Row,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Trained from scratch; 'voc' is the paper's own.
SMALL_DATASETS = {
    'camvid': 'deeplabv3x_r18_os16_camvid.py',
    'shapes': 'deeplabv3x_r18_os16_shapes.py',
}


def base_config(row: Row) -> Config:
    """The config that a row is a change of.

    Raises:
        FileNotFoundError: If the package is installed without its checkout, which has configs/.
    """
    return _load(row.base)


def _load(name: str) -> Config:
    return copy.deepcopy(_read(name))


@functools.cache
def _read(name: str) -> Config:
    if not osp.isfile(CONFIGS / name):
        raise FileNotFoundError(
            f'{CONFIGS / name} is not there: the rows of the paper need the configs/ of a checkout '
            'of mmseg_deeplabv3x.'
        )
    return Config.fromfile(CONFIGS / name)


def row_config(
    row: Row,
    dataset: str | None = None,
    options: Mapping | None = None,
    iters: int | None = None,
    seed: int | None = None,
) -> Config:
    """A row as a self-contained config.

    On a small dataset, the row's network is trained from scratch with that dataset's own crop,
    batch size, width, BN momentum and schedule. Rows that change crop or batch size change them in
    the paper's proportion: of 513 pixels and 16 images.

    Args:
        row: The row.
        dataset: 'camvid' or 'shapes'. Default: the paper's own.
        options: Dotted settings. With another ``model.backbone.depth`` or
            ``base_channels``, neck and head follow; with another batch size or crop, the rows
            that change these change the new one.
        iters: Length of the training. Default: the config's.
        seed: Default: the config's.

    Returns:
        For ``tools/train.py`` and, with ``--tta`` where the row has several scales or a
        flip, ``tools/test.py``.

    Raises:
        ValueError: If the row is about another dataset, takes a share of a batch
            that is no whole number, if ``options`` set what the row itself changes, or ``iters``
            is below 1.
    """
    options = dict(options or {})
    if iters is not None and iters < 1:
        raise ValueError(f'--iters must be at least 1, got {iters}.')
    if dataset and row.base in (CITYSCAPES, FINE_AND_COARSE):
        raise ValueError(f'{row.id} is about Cityscapes: run it without --dataset.')
    for key in set(options) & set(row.overrides) - {'load_from'}:
        raise ValueError(f'--cfg-options sets {key}, which is what {row.id} itself sets.')

    cfg = base_config(row)
    if dataset in SMALL_DATASETS:
        cfg = _on_small_dataset(cfg, _load(SMALL_DATASETS[dataset]))
    cfg.merge_from_dict(row.overrides)
    cfg.model.backbone.depth = row.depth
    cfg.model.output_stride = row.train_stride
    if row.eval_stride != row.train_stride:
        cfg.model.output_stride = dict(train=row.train_stride, test=row.eval_stride)
    if row.augmented:
        set_views(cfg.tta_pipeline, row.scales, row.flip)
    cfg.merge_from_dict(options)
    if iters is not None:
        cfg.train_cfg.max_iters = iters
    if seed is not None:
        cfg.randomness.seed = seed
    _scale_batch_and_crop(cfg, row)
    _fit_parts(cfg.model)
    return cfg


def _on_small_dataset(published: Config, small: Config) -> Config:
    model, own = published.model, small.model
    model.data_preprocessor = own.data_preprocessor
    for part in (model.backbone, model.get('neck'), model.decode_head):
        if part and 'norm_cfg' in part:
            part.norm_cfg = own.backbone.norm_cfg
    model.backbone.pop('init_cfg')  # set to None, options could not name weights
    if 'base_channels' in own.backbone:
        model.backbone.base_channels = own.backbone.base_channels
    if model.decode_head.type == own.decode_head.type:
        model.decode_head.channels = own.decode_head.channels
    model.decode_head.num_classes = own.decode_head.num_classes
    small.model = model
    return small


def _scale_batch_and_crop(cfg: Config, row: Row) -> None:
    loader = cfg.train_dataloader
    if row.batch_size != PAPER_BATCH_SIZE:
        images, rest = divmod(loader.batch_size * row.batch_size, PAPER_BATCH_SIZE)
        if rest:
            raise ValueError(
                f'{row.id} takes {row.batch_size}/{PAPER_BATCH_SIZE} of the batch, and '
                f'train_dataloader.batch_size is {loader.batch_size}: give a multiple of 4.'
            )
        loader.batch_size = images
    if row.crop != PAPER_CROP:
        share = (row.crop - 1) / (PAPER_CROP - 1)
        own = cfg.model.data_preprocessor.size
        size = tuple(16 * round((side - 1) / 16 * share) + 1 for side in own)
        cfg.model.data_preprocessor.size = size
        for transform in loader.dataset.pipeline:
            if 'crop_size' in transform:
                transform.crop_size = size


def _fit_parts(model: Config) -> None:
    """Let pretrained weights, neck and head follow the backbone's depth and width."""
    backbone, neck, head = model.backbone, model.get('neck'), model.decode_head
    unit, _ = ResNet.arch_settings[backbone.depth]
    weights = backbone.get('init_cfg')
    if weights and weights.checkpoint.startswith('torchvision://resnet'):
        weights.checkpoint = f'torchvision://resnet{backbone.depth}'
    if neck:
        neck.depth = backbone.depth
        if 'base_channels' in backbone:
            neck.base_channels = backbone.base_channels
    head.in_channels = backbone.get('base_channels', 64) * 8 * unit.expansion
    if head.type == 'UpsampledFCNHead':
        head.channels = head.in_channels


def missing_weights(row: Row, cfg: Config) -> str:
    """One sentence on the weights that a row needs and does not have; empty if it has them."""
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not osp.isfile(weights):
        return (
            f'{row.id} starts from {weights}, which is not there: put it there or name another '
            'with --cfg-options load_from=FILE.'
        )
    if cfg.model.freeze_bn and not weights and not cfg.model.backbone.get('init_cfg'):
        return (
            f'{row.id} freezes BN, which has learnt nothing in a network from scratch: name '
            'weights to start from with --cfg-options load_from=FILE.'
        )
    return ''


def differences(ours: Config, theirs: Config) -> dict[str, tuple]:
    """Dotted key -> (value in ours, value in theirs) of all that differs; None where missing."""
    ours, theirs = _flat(ours.to_dict()), _flat(theirs.to_dict())
    keys = [*ours, *(key for key in theirs if key not in ours)]
    pairs = {key: (ours.get(key), theirs.get(key)) for key in keys}
    return {key: (a, b) for key, (a, b) in pairs.items() if a != b}


def _flat(value, prefix: str = '') -> dict:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    items = {}
    for key, inner in value.items():
        items.update(_flat(inner, f'{prefix}.{key}' if prefix else key))
    return items
