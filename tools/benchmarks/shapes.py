"""Does a network that sees context win on the Shapes dataset?"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from common.markdown_table import markdown_table
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_deeplabv3x.cli.arguments import add_cfg_options
from mmseg_deeplabv3x.datasets import ShapesDataset
from mmseg_deeplabv3x.evaluation.confusion import class_iou, confusion_matrix

from .camvid_report import with_error

# '1x1' classifies the positions of block4, 'block5' to 'block7' those of the cascade's last block
BLOCKS = {'1x1': 4, 'block5': 5, 'block6': 6, 'block7': 7}
HEADS = ('1x1', 'aspp', 'aspp_no_pool', 'block5', 'block6', 'block7')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--config', default='configs/deeplabv3x_r18_os16_shapes.py')
    parser.add_argument('--heads', nargs='+', default=HEADS[:2], choices=HEADS)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='one run each')
    parser.add_argument('--work-dir', default='work_dirs/benchmark_shapes')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> str:
    """Train each head with each seed, and compare.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table: IoU in percent, of each class and on average, over the seeds; and what the
        average differs in from the first head's, seed by seed, ± its standard error.
    """
    ious = {}
    for head in args.heads:
        for seed in args.seeds:
            print(
                f'{head} head, seed {seed}: run {len(ious) + 1} of '
                f'{len(args.heads) * len(args.seeds)}',
                flush=True,
            )
            ious[head, seed] = train(head, seed, args)
    columns = {head: np.stack([ious[head, seed] for seed in args.seeds]) for head in args.heads}
    return iou_over_seeds(ShapesDataset.METAINFO['classes'], columns)


def train(head: str, seed: int, args: argparse.Namespace) -> np.ndarray:
    """Train one model and evaluate it.

    Args:
        head: One of ``HEADS``; 'aspp' is the config's own.
        seed: Of weights and data.
        args: As declared by :func:`add_arguments`.

    Returns:
        IoU of each class of the val split, between 0 and 1, (classes,).
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    cfg.randomness.seed = seed
    set_head(cfg.model, head)
    cfg.train_cfg.val_interval = cfg.train_cfg.max_iters + 1  # evaluated once, below
    cfg.default_hooks.checkpoint = None
    cfg.work_dir = f'{args.work_dir}/{head}_{seed}'
    cfg.experiment_name = f'{head}_{seed}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return class_iou(val_confusion(runner))


def set_head(model: dict, head: str) -> None:
    """Change a model that has ASPP with image pooling."""
    if head == 'aspp_no_pool':
        model.decode_head.image_pool = False
    elif head in BLOCKS:
        model.decode_head = pixel_classifier(model.decode_head)
    if BLOCKS.get(head, 4) > 4:
        backbone = model.backbone
        model.neck = dict(
            type='CascadeNeck',
            depth=backbone.depth,
            num_blocks=BLOCKS[head] - 4,
            base_channels=backbone.base_channels,
            norm_cfg=backbone.norm_cfg,
        )


def pixel_classifier(head: dict) -> dict:
    """A head that classifies each position of the backbone's map by itself.

    Args:
        head: Config of the head whose place it takes.

    Returns:
        Config of mmseg's own FCN head, without its 3x3 convolutions.
    """
    return dict(
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        in_channels=head['in_channels'],
        channels=head['in_channels'],
        num_classes=head['num_classes'],
        dropout_ratio=0.1,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    )


@torch.no_grad()
def val_confusion(runner: Runner) -> np.ndarray:
    """Confusion matrix of the runner's model over its val split, (classes, classes)."""
    model = runner.model.eval()
    matrix = 0
    loader = runner.val_loop.dataloader
    classes = len(loader.dataset.metainfo['classes'])
    for batch in loader:
        for sample in model.val_step(batch):
            labels, predictions = (
                field.data.cpu().numpy() for field in (sample.gt_sem_seg, sample.pred_sem_seg)
            )
            matrix += confusion_matrix(labels, predictions, classes)
    return matrix


def iou_over_seeds(classes: Sequence[str], columns: dict[str, np.ndarray]) -> str:
    """Write a comparison of IoU as a Markdown table.

    Args:
        classes: Names of the classes.
        columns: By title, the IoU between 0 and 1 of each seed and class, (seeds, classes).

    Returns:
        The table: percent, mean over the seeds and, in brackets, smallest and largest; below the
        mean of the classes its difference to the first column's, ± the standard error.
    """
    rows = [
        _row(name, [ious[:, index] for ious in columns.values()])
        for index, name in enumerate(classes)
    ]
    means = [ious.mean(axis=1) for ious in columns.values()]
    rows.append(_row('**mean**', means))
    gains = [with_error(100 * (of_seeds - means[0]), '+.2f') for of_seeds in means[1:]]
    rows.append([f'against {next(iter(columns))}', '', *gains])
    return markdown_table(['IoU in %', *columns], rows)


def _row(name: str, seeds_of_columns: Sequence[np.ndarray]) -> list[str]:
    cells = (100 * seeds for seeds in seeds_of_columns)
    return [name, *(f'{v.mean():.1f} ({v.min():.1f} to {v.max():.1f})' for v in cells)]
