"""The cheap part of the check, at the start of a training."""

import logging
import random
from collections import Counter

from mmcv.transforms import RandomChoiceResize, RandomResize, Resize
from mmengine.config import Config
from mmengine.logging import print_log

from ..datasets.lists import first_few
from ..transforms.kinds import builds_one_of
from .config_parts import as_list, leaves, preprocessor, skips_bad_samples
from .problem import MISSING, Problem
from .sample import check_sample
from .splits import Split, load_splits, shared_images
from .whole_splits import check_labels

SAMPLES = 16  # of each split: a second or two of a large one
SHOWN = 5
RESIZES = (Resize, RandomResize, RandomChoiceResize)
HARMLESS = (  # for a run, which says how many there are
    'blank lines', 'doubled', 'shared', 'all ignored', 'one class', 'few bits', 'turned',
    'other suffix', 'no image', 'not checked', 'skipped',
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
    _check_classes(cfg, splits)
    _check_crop(cfg, loaders)
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    problems = shared_images(splits)
    for split in splits:
        problems += split.problems + split.missing
        if not split.missing and split.infos:
            infos = random.Random(seed).sample(split.infos, min(SAMPLES, len(split.infos)))
            samples = [check_sample(split, info) for info in infos]
            problems += [problem for sample in samples for problem in sample.problems]
            pixels, ignored = sum(s.pixels for s in samples), sum(s.ignored for s in samples)
            classes = split.metainfo['classes']
            problems += check_labels(split.name, classes, pixels, ignored, complete=False)
    if skips_bad_samples((cfg.get('train_dataloader') or {}).get('dataset') or {}):
        problems = [
            problem._replace(kind='skipped')
            if problem.info and problem.split.startswith('train')
            else problem
            for problem in problems
        ]
    _refuse(cfg, problems)
    images = ', '.join(f'{split.name} {len(split.infos)} images' for split in splits)
    print_log(f'Data: {images}; all files exist, a sample of each split was read.', 'current')


def check_before_testing(cfg: Config) -> None:
    """Refuse a config whose test data is not there, or lies outside of the data root.

    Single files may be missing: images to predict need no masks, and the run names what it misses.

    Args:
        cfg: A runner's config.

    Raises:
        FileNotFoundError: If a dataset is not there; says how to get it.
        ValueError: If something else is wrong; names the first offenders.
    """
    splits = load_splits(cfg, ('test_dataloader',))
    _refuse(cfg, [problem for split in splits for problem in split.problems])


def _check_classes(cfg: Config, splits: list[Split]) -> None:
    """Fewer classes in the head than in the data fail in the loss, more of them in the metric."""
    heads = as_list((cfg.get('model') or {}).get('decode_head'))
    number = heads[-1].get('num_classes') if heads else None
    for split in splits:
        classes = split.metainfo.get('classes', ())
        if (number, len(classes)) == (1, 2):  # one channel and a threshold
            continue
        if number and classes and number != len(classes):
            raise ValueError(
                f'model.decode_head.num_classes is {number}, but the data of {split.name} has '
                f'{len(classes)} classes ({first_few(classes)}): set num_classes={len(classes)} in '
                'every head.'
            )


def _check_crop(cfg: Config, loaders: tuple[str, ...]) -> None:
    """The preprocessor fills crops up to its size: those that are larger it leaves unequal."""
    size = preprocessor(cfg).get('size')
    for key, leaf in leaves(cfg, 'train_dataloader') if 'train_dataloader' in loaders else ():
        steps = leaf.get('pipeline') or [] if size else []
        for i, step in enumerate(steps):
            if any(builds_one_of(later, RESIZES) for later in steps[i + 1 :]):
                continue  # the crop is of another size then
            crop = step.get('crop_size') or size
            crop = (crop, crop) if isinstance(crop, int) else tuple(crop)
            message = (
                f'The crop_size of {key} is {crop}, model.data_preprocessor.size {tuple(size)}'
            )
            if any(side > most for side, most in zip(crop, size)):
                raise ValueError(f'{message}: set both to one size.')
            if crop != tuple(size):
                print_log(f'{message}: all crops are padded.', 'current', logging.WARNING)


def _refuse(cfg: Config, problems: list[Problem]) -> None:
    kinds = Counter(problem.kind for problem in problems if problem.kind in HARMLESS)
    for kind, count in kinds.items():
        first = next(problem.message for problem in problems if problem.kind == kind)
        more = f' ({count - 1} more of this kind)' if count > 1 else ''
        print_log(f'{first}{more}', 'current', logging.WARNING)
    problems = [problem for problem in problems if problem.kind not in HARMLESS]
    for problem in problems:
        if problem.kind == MISSING and problem.info is None:  # all of a dataset, not one image
            raise FileNotFoundError(problem.message)
    if problems:
        listed = ''.join(f'\n  {p.split}: {p.message}' for p in problems[:SHOWN])
        raise ValueError(
            f'Problems with the data: {len(problems)}{listed}\n'
            f'`python tools/check_data.py {cfg.filename or "CONFIG"}` checks every file.'
        )
