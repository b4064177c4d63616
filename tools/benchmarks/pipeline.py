"""Training pipelines: mmseg's transforms against ours, from the files to the packed sample."""

import argparse
import json
import os.path as osp
import tempfile
import time
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import torch
from common.markdown_table import markdown_table
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import track

from .interleaved import plot
from .timing import spread


class Case(NamedTuple):
    """Files to read and the crop to make of them."""

    height: int
    width: int
    crop: int
    image_suffix: str
    label_suffix: str
    background: float  # how far class 0 is above the others where the labels are drawn


# PASCAL VOC, of which background is 73 %; Cityscapes; Cityscapes decoded once
CASES = [
    Case(375, 500, 513, '.jpg', '.png', 1.45),
    Case(1024, 2048, 769, '.png', '.png', 0.0),
    Case(1024, 2048, 769, '.bmp', '.bmp', 0.0),
]
CLASSES = 19
STEPS = ('read image', 'read labels', 'scale, crop, flip', 'photometric distortion', 'pack')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument(
        '--rounds', type=int, default=5, help='each variant makes a sample of every image'
    )
    parser.add_argument('--images', type=int, default=8, help='drawn for each kind of files')
    parser.add_argument('--json', metavar='FILE', help='also write all the numbers')
    parser.add_argument('--plot', metavar='FILE', help='also draw the whole samples, as a PNG')


def run(args: argparse.Namespace) -> str:
    """Time both variants in turns, sample by sample, on the same random numbers.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        Markdown tables, one a kind of files. Times are CPU times of one thread, for one sample.
        Those of the steps are means over all rounds; the whole's is 'median (least to most)' of
        the rounds, 'faster' the same of the ratio within a round.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    numbers, tables = [], []
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmseg'):
        for case in CASES:
            infos = write_files(folder, case, args.images)
            seeds = track(range(args.rounds), f'{case.width}x{case.height} {case.image_suffix}')
            times = np.array([_round(case, infos, seed) for seed in seeds])
            numbers.append(_numbers(case, infos, times))
            tables.append(_table(numbers[-1]))
    if args.json:
        write_file(args.json, json.dumps(numbers, indent=2) + '\n')
    if args.plot:
        plot([_bars(part) for part in numbers], args.plot)
    return '\n\n'.join(tables)


def pipelines(case: Case) -> tuple[list[dict], list[dict]]:
    """The paper's augmentation and what mmseg adds, by mmseg's transforms and by ours.

    Scale 0.5 to 2, a crop of which no class takes 75 %, flip, photometric distortion.

    Args:
        case: Its size is what mmseg scales to.

    Returns:
        Configs of the pipelines, mmseg's and ours.
    """
    crop = (case.crop, case.crop)
    size = (case.width, case.height)
    mmseg = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=size, ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    ours = [
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        dict(type='RandomScaleCropFlip', crop_size=crop, step=None, cat_max_ratio=0.75),
        dict(type='LUTPhotoMetricDistortion'),
        dict(type='SplitPackSegInputs'),
    ]
    return mmseg, ours


def write_files(folder: str, case: Case, count: int) -> list[dict]:
    """Draw images like photos in what slows down their decoding, and masks.

    Args:
        folder: Where to write.
        case: Size and kind of the files.
        count: How many.

    Returns:
        What a dataset gives to the pipeline for each.
    """
    infos = []
    for index in range(count):
        rng = np.random.default_rng(index)
        stem = osp.join(folder, str(index))
        image, labels = stem + case.image_suffix, stem + '_labels' + case.label_suffix
        Image.fromarray(_photo(rng, case)).save(image, quality=98)  # where it is a JPEG
        Image.fromarray(_labels(rng, case)).save(labels)
        infos.append(
            dict(img_path=image, seg_map_path=labels, reduce_zero_label=False, label_map=None)
        )
    return infos


def _photo(rng, case):
    """Noise that falls off with frequency as photos do; grain gives the files their size."""
    shape = case.height, case.width
    light = 110 + 50 * _noise(rng, shape)
    channels = [light + 12 * _noise(rng, shape) + rng.normal(0, 0.5, shape) for _ in range(3)]
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def _noise(rng, shape):
    rows = np.fft.fftfreq(shape[0]) * shape[0]
    columns = np.fft.rfftfreq(shape[1]) * shape[1]
    frequency = np.maximum(np.hypot(rows[:, None], columns), 1)
    spectrum = np.exp(2j * np.pi * rng.random(frequency.shape)) * frequency**-1.7
    noise = np.fft.irfft2(spectrum, shape)
    return (noise - noise.mean()) / noise.std()


def _labels(rng, case):
    """Where one of several smooth fields is highest, its class is."""
    fields = rng.normal(size=(6, 6, 8))
    fields[0] += case.background * rng.uniform(0.5, 1.5)
    classes = [0, *rng.choice(np.arange(1, CLASSES), len(fields) - 1, replace=False)]
    size = case.width, case.height
    smooth = [cv2.resize(field, size, interpolation=cv2.INTER_CUBIC) for field in fields]
    return np.uint8(classes)[np.argmax(smooth, axis=0)]


def _round(case: Case, infos: list[dict], seed: int) -> list[tuple[list[float], list[float]]]:
    """CPU time in ms of each step, mmseg's and ours, for each image."""
    variants = [Compose(variant) for variant in pipelines(case)]
    return [
        tuple(_sample(variant.transforms, info, [seed, index]) for variant in variants)
        for index, info in enumerate(infos)
    ]


def _sample(transforms, info, seed):
    np.random.seed(seed)
    results = dict(info, seg_fields=[])
    times = []
    for transform in transforms:
        start = time.process_time()
        results = transform(results)
        times.append(1e3 * (time.process_time() - start))
    image, labels, *geometry, colour, pack = times
    return [image, labels, sum(geometry), colour, pack]


def _numbers(case, infos, times):
    """What the table says, from times (rounds, images, 2, steps)."""
    steps = times.mean(axis=(0, 1))
    whole = times.sum(axis=3).mean(axis=1)
    return dict(
        case=case._asdict(),
        kilobytes=round(np.mean([osp.getsize(info['img_path']) for info in infos]) / 1e3),
        steps_ms=dict(zip(STEPS, steps.T.tolist())),
        mmseg_ms=whole[:, 0].tolist(),
        ours_ms=whole[:, 1].tolist(),
        faster=(whole[:, 0] / whole[:, 1]).tolist(),
    )


def _title(numbers):
    case = Case(**numbers['case'])
    return (
        f'{case.width}x{case.height} {case.image_suffix} of {numbers["kilobytes"]} kB, '
        f'crop {case.crop}'
    )


def _bars(numbers):
    variants = {variant: dict(ms=numbers[f'{variant}_ms']) for variant in ('mmseg', 'ours')}
    return dict(case=_title(numbers), variants=variants)


def _table(numbers):
    rows = [
        (step, f'{mmseg:.1f}', f'{ours:.1f}', f'{mmseg / ours:.1f} x')
        for step, (mmseg, ours) in numbers['steps_ms'].items()
    ]
    mmseg, ours, faster = (numbers[name] for name in ('mmseg_ms', 'ours_ms', 'faster'))
    whole = [spread(values, '.1f') for values in (mmseg, ours, faster)]
    rows.append(('**sample**', *whole[:2], f'**{whole[2]} x**'))
    per_second = [f'{1e3 / median(values):.0f}' for values in (mmseg, ours)]
    rows.append(('samples a second and worker', *per_second, ''))
    return markdown_table((_title(numbers), 'mmseg, ms', 'ours, ms', 'faster'), rows)
