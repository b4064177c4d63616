"""Runs rows: trains what is not trained yet, evaluates what is not evaluated yet.

``WORK_DIR/table3/mg121-block7/seed0/`` holds a row's ``config.py``, its ``training/`` (unless
another row has the same one) and, once it is finished, ``result.json``.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from common.child_process import CommandError
from mmengine.config import Config

from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.paper.rows import ROWS, Row

from . import train_evaluate
from .config import differences, missing_weights, row_config


def run_rows(
    rows: Sequence[Row],
    work_dir: str,
    dataset: str | None = None,
    options: Mapping | None = None,
    iters: int | None = None,
    seeds: Sequence[int] = (0,),
) -> list[str]:
    """Run rows one after the other; finished ones are skipped, broken ones resumed.

    Each training runs without validation; the last checkpoint is evaluated, as in the paper, not
    the one that is best on val.

    Args:
        rows: What to run.
        work_dir: Folder of all results.
        dataset: As in :func:`row_config`, like ``options`` and ``iters``.
        options: Dotted settings.
        iters: Length of each training.
        seeds: Each row runs once with each. Default: 0.

    Returns:
        One sentence for each row that failed.

    Raises:
        ValueError: If a row cannot be run so, or its folder holds a run with other settings.
    """
    asked = dict(dataset=dataset, options=options, iters=iters)
    jobs = [Job(row, seed, work_dir, asked) for seed in seeds for row in rows]
    clock, failures = Clock(), []
    for number, job in enumerate(jobs, start=1):
        print(f'[{number}/{len(jobs)}] {job.row.id}, seed {job.seed}: {job.row.change}', flush=True)
        miou, how = job.result(), 'done before'
        if miou is None:
            lacks = missing_weights(job.row, job.training_config)
            if lacks and job.checkpoint() is None:
                print(f'    skipped: {lacks}')
                continue
            started = time.time()
            try:
                miou = job.run(clock)
            except (CommandError, OSError, ValueError) as error:
                failures.append(f'{job.row.id}, seed {job.seed}: {error}')
                print(f'    failed: {error}', flush=True)
                continue
            how = f'took {_duration(time.time() - started)}{clock.left(jobs[number:])}'
        print(f'    mIoU {miou:.2f} (paper: {job.row.miou:.2f}); {how}', flush=True)
    return failures


class Clock:
    """Estimates the time left from the trainings and evaluations done."""

    def __init__(self):
        self.seconds = {'train': [], 'evaluate': []}

    def left(self, jobs: 'Sequence[Job]') -> str:
        """Words on the time that jobs will take; none where nothing is known yet."""
        waiting = [job for job in jobs if job.result() is None]
        trainings = {job.training_folder for job in waiting if not job.checkpoint()}
        total = 0.0
        for kind, count in (('train', len(trainings)), ('evaluate', len(waiting))):
            if count and not self.seconds[kind]:
                return f', rows left: {len(waiting)}'
            if count:
                total += count * sum(self.seconds[kind]) / len(self.seconds[kind])
        return f', rows left: {len(waiting)}, about {_duration(total)}' if waiting else ''


class Job:
    """One row with one seed.

    Args:
        row: The row.
        seed: Seed of its training.
        work_dir: Folder of all results.
        asked: What else decides on its config: dataset, options, iters.

    Raises:
        ValueError: If its folder holds a run with other settings.
    """

    def __init__(self, row: Row, seed: int, work_dir: str, asked: dict):
        self.row, self.seed, self.asked = row, seed, asked
        self.folder = Path(work_dir) / row.id / f'seed{seed}'
        self.training_folder = Path(work_dir) / row.training / f'seed{seed}'
        self.config = _without_validation(row_config(row, seed=seed, **asked))
        self.training_config = self.config
        if row.shares:
            shared = row_config(ROWS[row.shares], seed=seed, **asked)
            self.training_config = _without_validation(shared)
        refuse_other_settings(self.folder, self.config)
        refuse_other_settings(self.training_folder, self.training_config)

    def result(self) -> float | None:
        """The mIoU of a finished row, else None."""
        path = self.folder / 'result.json'
        return json.loads(path.read_text())['miou'] if path.is_file() else None

    def checkpoint(self) -> str | None:
        """The finished training's checkpoint, if there is one."""
        max_iters = self.training_config.train_cfg.max_iters
        return train_evaluate.finished_checkpoint(self.training_folder, max_iters)

    def run(self, clock: Clock) -> float:
        """Train, unless that is done; evaluate; keep the result."""
        save_config(self.folder, self.config)
        if self.checkpoint() is None:
            config = save_config(self.training_folder, self.training_config)
            started = time.time()
            train_evaluate.train(config, self.training_folder)
            clock.seconds['train'].append(time.time() - started)
        started = time.time()
        arguments = self.folder / 'config.py', self.checkpoint(), self.folder, self.row.augmented
        miou = train_evaluate.evaluate(*arguments)
        clock.seconds['evaluate'].append(time.time() - started)
        record = dict(
            row=self.row.id,
            seed=self.seed,
            miou=miou,
            training=self.row.training,
            dataset=self.asked['dataset'] or "the paper's",
            iters=self.config.train_cfg.max_iters,
            options={key: str(value) for key, value in (self.asked['options'] or {}).items()},
        )
        write_file(self.folder / 'result.json', json.dumps(record, indent=2) + '\n')
        return miou


def _without_validation(cfg: Config) -> Config:
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    hooks, max_iters = cfg.default_hooks, cfg.train_cfg.max_iters
    hooks.checkpoint.save_best = None
    hooks.checkpoint.interval = min(hooks.checkpoint.interval, max(1, max_iters // 5))
    hooks.logger.interval = min(hooks.logger.interval, max(1, max_iters // 10))
    return cfg


def save_config(folder: Path, cfg: Config) -> Path:
    """Write a config into a folder, as ``config.py``."""
    write_file(folder / 'config.py', cfg.pretty_text)
    return folder / 'config.py'


def refuse_other_settings(folder: Path, cfg: Config) -> None:
    """Refuse to go on in a folder that was begun with another config.

    Raises:
        ValueError: With the first setting that differs.
    """
    path = folder / 'config.py'
    if not path.is_file():
        return
    for key, (ours, theirs) in differences(cfg, Config.fromfile(path)).items():
        raise ValueError(
            f'{path} has {key} = {theirs!r}, but {ours!r} is asked for: choose another --work-dir, '
            f'or remove {folder}.'
        )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
