"""The cheap part of the check, at the start of a training."""

import logging
import random

from mmengine.config import Config
from mmengine.logging import print_log

from .problem import MISSING, Problem
from .sample import check_sample
from .splits import Split, load_splits

SAMPLES = 16  # of each split: a second or two of a large one
SHOWN = 5
HARMLESS = ('blank lines', 'doubled', 'all ignored', 'not checked')  # for a run


def check_before_training(cfg: Config, loaders: tuple[str, ...]) -> None:
    """Refuse a config whose data cannot be trained on, as far as a few seconds tell.

    All files must exist and no split be empty; of a sample of each split the images and masks
    are read whole. Every process of a distributed run may call it: all look at the same
    sample.

    Args:
        cfg: A runner's config; its seed chooses the sample.
        loaders: The data loaders that will be used, such as 'train_dataloader'.

    Raises:
        FileNotFoundError: If a dataset is not there; says how to get it.
        ValueError: If something else is wrong; names the first offenders.
    """
    splits = load_splits(cfg, loaders)
    _check_classes(cfg, splits)
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    problems = []
    for split in splits:
        problems += split.problems + split.missing
        if not split.missing:
            infos = random.Random(seed).sample(split.infos, min(SAMPLES, len(split.infos)))
            problems += [found for info in infos for found in check_sample(split, info)[0]]
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
    """A head with fewer classes than the data fails at the first label beyond them."""
    head = (cfg.get('model') or {}).get('decode_head') or {}
    head = head[-1] if isinstance(head, (list, tuple)) else head
    number = head.get('num_classes')
    for split in splits:
        classes = split.metainfo.get('classes', ())
        if not number or number == len(classes) or not classes:
            continue
        message = (
            f'model.decode_head.num_classes is {number}, but the data of {split.name} has '
            f'{len(classes)} classes ({", ".join(classes[:3])}, ...)'
        )
        if number < len(classes):
            raise ValueError(f'{message}: set num_classes={len(classes)} in every head.')
        print_log(f'{message}.', 'current', logging.WARNING)


def _refuse(cfg: Config, problems: list[Problem]) -> None:
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
