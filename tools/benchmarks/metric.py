"""Counting one image for the mIoU: mmseg's IoUMetric against ConfusionIoUMetric."""

import argparse
from functools import partial

import torch
from common.markdown_table import markdown_table
from mmseg.evaluation import IoUMetric
from torch.nn import functional as F

from mmseg_deeplabv3x.evaluation import ConfusionIoUMetric

from .timing import cpu_ms, spread

# classes and image size: PASCAL VOC, ADE20K, Cityscapes
SIZES = [(21, 375, 500), (150, 512, 683), (19, 1024, 2048)]
TITLES = (
    'classes, image',
    'IoUMetric, ms',
    'ConfusionIoUMetric, ms',
    'faster',
    'with a trimap of 5 pixels, ms',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--rounds', type=int, default=15, help='each variant is timed once a round')


def run(args: argparse.Namespace) -> str:
    """Time ``process`` of the metrics in turns on one image of smooth regions.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table. Times are CPU times of one thread, 'median (least to most)' of the rounds;
        'faster' is the same of the ratio within a round.
    """
    torch.set_num_threads(1)
    return markdown_table(TITLES, [_row(*size, args.rounds) for size in SIZES])


def _row(num_classes, height, width, rounds):
    variants = metrics(num_classes)
    sample = data_sample(num_classes, height, width)
    times = [
        [cpu_ms(partial(variant.process, {}, [sample])) for variant in variants]
        for _ in range(rounds + 1)
    ]
    stock, ours, with_trimap = zip(*times[1:])  # the first round warms up
    return [
        f'{num_classes}, {height}x{width}',
        spread(stock, '.1f'),
        spread(ours, '.2f'),
        spread([a / b for a, b in zip(stock, ours)], '.0f') + ' x',
        spread(with_trimap, '.2f'),
    ]


def metrics(num_classes: int) -> list:
    """The metrics that are compared: mmseg's, ours, and ours with a trimap.

    Args:
        num_classes: Number of classes.
    """
    variants = [IoUMetric(), ConfusionIoUMetric(), ConfusionIoUMetric(trimap_widths=[5])]
    for variant in variants:
        variant.dataset_meta = dict(classes=[f'class {i}' for i in range(num_classes)])
    return variants


def data_sample(num_classes: int, height: int, width: int) -> dict:
    """An image of smooth regions, of whose pixels a tenth is predicted wrong, with a void border.

    Args:
        num_classes: Number of classes.
        height: Of the image.
        width: Of the image.

    Returns:
        What an evaluator passes to a metric.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 6, 8, generator=generator)
    smooth = F.interpolate(coarse, (height, width), mode='bilinear')[0]
    labels = (smooth * num_classes).long()
    guess = torch.randint(num_classes, labels.shape, generator=generator)
    wrong = torch.rand(labels.shape, generator=generator) < 0.1
    predictions = torch.where(wrong, guess, labels)
    labels[:, :10] = 255
    return dict(
        gt_sem_seg=dict(data=labels), pred_sem_seg=dict(data=predictions), img_path='image.jpg'
    )
