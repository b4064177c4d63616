"""The cheap part of the check, at the start of a run."""

import logging
import random

import torch
from mmcv.transforms import RandomChoiceResize, RandomResize, Resize
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATA_SAMPLERS, DATASETS, METRICS

from ..datasets import FaultTolerantDataset
from ..datasets.lists import first_few
from ..transforms.kinds import builds_one_of, kind_of, parts, settings
from .problem import MISSING, Problem, by_kind
from .sample import check_sample
from .splits import Split, load_splits
from .whole_splits import check_labels, shared_images

SAMPLES = 16  # of each split: a second or two of a large one
SHOWN = 5
RESIZES = (Resize, RandomResize, RandomChoiceResize)
HARMLESS = (  # for a run, which says how many there are
    'blank lines', 'doubled', 'shared', 'all ignored', 'one class', 'few bits', 'turned',
    'other suffix', 'no image', 'not checked',
)  # fmt: skip


def check_before_training(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Refuse a config whose data cannot be trained on, as far as a few seconds tell.

    All files must exist and no split be empty; of a sample of each split the images and masks
    are read whole. What a run can do with is one warning for each kind. Every process of a
    distributed run may call it: all look at the same sample.

    Args:
        cfg: A runner's config; its seed chooses the sample. :func:`ignored_label` completes it.
        loaders: The data loaders that will be used, such as 'train_dataloader'.

    Raises:
        FileNotFoundError: If a dataset is not there; says how to get it.
        ValueError: If something else is wrong; names the first offenders.
    """
    splits = load_splits(cfg, loaders)
    _check_scores(cfg, loaders)
    _check_samplers(cfg, loaders)
    _check_classes(cfg, splits)
    if 'train_dataloader' in loaders:
        _check_crop(cfg)
    draw = random.Random((cfg.get('randomness') or {}).get('seed') or 0)
    problems, read = shared_images(splits), []
    for split in splits:
        problems += split.problems
        if not any(problem.is_missing_file for problem in split.problems):
            for info in draw.sample(split.infos, min(SAMPLES, len(split.infos))):
                read.append((split, check_sample(split, info)))
    problems += [problem for _, sample in read for problem in sample.problems]
    problems += check_labels(read, complete=False)
    _refuse(cfg, problems, _skips_bad_samples(cfg.get('train_dataloader') or {}))
    images = ', '.join(f'{split.name} {len(split.infos)} images' for split in splits)
    print_log(f'Data: {images}; all files exist, a sample of each split was read.', 'current')


def check_before_testing(cfg: Config) -> None:
    """The same before a test: refuse data that is not there, or lies outside of the data root.

    Single files may be missing: images to predict need no masks, and the run names what it misses.
    """
    splits = load_splits(cfg, ('test_dataloader',))
    _check_scores(cfg, ('test_dataloader',))
    _check_samplers(cfg, ('test_dataloader',))
    _refuse(cfg, [p for split in splits for p in split.problems if not p.is_missing_file])


def _check_scores(cfg: Config, loaders: tuple[str, ...]) -> None:
    """``IoUMetric`` looks at the names of its scores once all images are evaluated."""
    evaluators = [loader.replace('dataloader', 'evaluator') for loader in loaders]
    for path, part in parts({key: cfg.get(key) for key in evaluators}):
        if 'iou_metrics' in part and builds_one_of(part, IoUMetric, METRICS):
            names, areas = part['iou_metrics'], [torch.ones(1)] * 4
            compute = IoUMetric.total_area_to_metrics
            if kind_of(part, METRICS).total_area_to_metrics is not compute:
                continue  # it may know other names
            try:
                compute(*areas, names)
            except KeyError:
                known = 'mIoU, mDice and mFscore'
                message = f'{path}.iou_metrics is {names!r}: {part["type"]} knows {known}.'
                raise ValueError(message) from None


def _check_samplers(cfg: Config, loaders: tuple[str, ...]) -> None:
    """An evaluation of a sampler without an end never ends."""
    for loader in loaders:
        sampler = (cfg.get(loader) or {}).get('sampler') or {}
        endless = 'type' in sampler and builds_one_of(sampler, InfiniteSampler, DATA_SAMPLERS)
        if endless and loader != 'train_dataloader':
            raise ValueError(
                f'{loader}.sampler, {sampler["type"]}, has no end: use DefaultSampler with '
                'shuffle=False.'
            )


def _check_classes(cfg: Config, splits: list[Split]) -> None:
    """Fewer classes in the head than in the data fail in the loss, more of them in the metric."""
    first = splits[0].metainfo.get('classes', ()) if splits else ()
    for split in splits:
        classes = split.metainfo.get('classes', ())
        if list(classes) != list(first) and sorted(classes) == sorted(first):
            i = next(i for i, pair in enumerate(zip(first, classes)) if pair[0] != pair[1])
            raise ValueError(
                f'The classes of {splits[0].name} and {split.name} are the same in another order: '
                f'{i} is {first[i]!r} and {classes[i]!r}. Give both the same metainfo.'
            )
    heads = (cfg.get('model') or {}).get('decode_head') or {}
    head = heads[-1] if isinstance(heads, (list, tuple)) else heads
    number = head.get('num_classes')
    for split in splits:
        classes = split.metainfo.get('classes', ())
        if (number, len(classes)) == (1, 2):  # one channel and a threshold
            continue
        if number is not None and classes and number != len(classes):
            raise ValueError(
                f'model.decode_head.num_classes is {number!r}, but the data of {split.name} has '
                f'{len(classes)} classes ({first_few(classes)}): set num_classes={len(classes)} in '
                'every head.'
            )


def _check_crop(cfg: Config) -> None:
    """The preprocessor fills crops up to its size: those that are larger it leaves unequal."""
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    size = (preprocessor or cfg.get('data_preprocessor') or {}).get('size')
    for path, steps in settings({'train_dataloader': cfg.get('train_dataloader')}):
        if not isinstance(size, (list, tuple)) or not steps or not path.endswith('.pipeline'):
            continue
        for i, step in enumerate(steps):
            if any(builds_one_of(later, RESIZES) for later in steps[i + 1 :]):
                continue  # the crop is of another size then
            crop = step.get('crop_size') or size
            crop = (crop, crop) if isinstance(crop, int) else tuple(crop)
            if [*map(type, (*crop, *size))] != [int] * 4:
                continue  # which the step, or the preprocessor, refuses
            message = (
                f'The crop_size of {path}.{i} is {crop}, model.data_preprocessor.size {tuple(size)}'
            )
            if any(side > most for side, most in zip(crop, size)):
                raise ValueError(f'{message}: set both to one size.')
            if crop != tuple(size):
                print_log(f'{message}: all crops are padded.', 'current', logging.WARNING)


def _skips_bad_samples(loader: dict) -> bool:
    """Whether a ``FaultTolerantDataset`` goes on without the files that are bad."""
    return any(
        part.get('on_bad_sample') == 'skip' and builds_one_of(part, FaultTolerantDataset, DATASETS)
        for _, part in parts(loader)
    )


def _refuse(cfg: Config, problems: list[Problem], skipping: bool = False) -> None:
    """Warn once of each kind that a run can do with, refuse the others."""
    bad = []
    for kind, found in by_kind(problems).items():
        able = []
        for problem in found:
            skipped = skipping and problem.info and problem.split.startswith('train')
            (able if kind in HARMLESS or skipped else bad).append(problem)
        if able:
            more = f' ({len(able) - 1} more of this kind)' if len(able) > 1 else ''
            print_log(f'{able[0].message}{more}', 'current', logging.WARNING)
    for problem in bad:
        if problem.kind == MISSING and not problem.is_missing_file:  # a whole dataset
            raise FileNotFoundError(problem.message)
    if bad:
        listed = ''.join(f'\n  {p.split}: {p.message}' for p in bad[:SHOWN])
        raise ValueError(
            f'Problems with the data: {len(bad)}{listed}\n'
            f'`python tools/check_data.py {cfg.filename or "CONFIG"}` checks every file.'
        )
