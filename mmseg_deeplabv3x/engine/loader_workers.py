"""The processes that load data: they may be killed, hang, or be hit by signals meant for others."""

from __future__ import annotations

import os
import re

from mmengine.config import Config
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner

from .save_now import save_now

# EX_TEMPFAIL of sysexits.h: may well work when tried again.
FAULT_STATUS = 75
# Far longer than a batch takes, even on a slow disk; half of what NCCL waits for a process, so that
# this message comes first.
TIMEOUT_SECONDS = 300


def prepare_loaders(cfg: Config) -> None:
    """Give a training's data loaders a time-out, and their workers process groups of their own.

    A loader that sets ``timeout`` or ``worker_init_fn`` keeps its own; one without workers has no
    use for either.

    Args:
        cfg (Config): A runner's config, changed in place; has a seed.
    """
    for name in ('train_dataloader', 'val_dataloader'):
        loader = cfg.get(name)
        if loader and loader.get('num_workers'):
            loader.setdefault('timeout', TIMEOUT_SECONDS)
            own_group = dict(
                type='init_worker_in_own_group',
                num_workers=loader.num_workers,
                seed=cfg.randomness.seed,
            )
            loader.setdefault('worker_init_fn', own_group)


@FUNCTIONS.register_module()
def init_worker_in_own_group(worker_id: int, num_workers: int, seed: int) -> None:
    """Seed a worker as the runner does, in a process group of its own.

    Ctrl-C and torchrun signal a whole group. The main process then ends its iteration first, and
    needs its workers for that. They end with it all the same.

    Args:
        worker_id (int): Number of the worker.
        num_workers (int): Number of all workers of the loader.
        seed (int): Seed of the run.
    """
    os.setpgrp()
    worker_init_fn(worker_id, num_workers, get_rank(), seed)


def run_training(runner: Runner) -> None:
    """``runner.train()``; where a data-loading worker fails, one message, a checkpoint, an exit.

    Saved is what a single process has. Of several, the one without data cannot save with the
    others, which are in the middle of an iteration: the last regular checkpoint counts.

    Args:
        runner (Runner): Ready to train.

    Raises:
        SystemExit: With the status 75, if a worker was killed or gave no data in time.
    """
    try:
        runner.train()
    except RuntimeError as error:
        why = explain(error)
        if why is None:
            raise
        # an error, since the logger mutes warnings of all processes but the first
        runner.logger.error(why)
        if get_world_size() == 1 and runner.iter:
            runner.logger.error(save_now(runner, runner.iter))
        raise SystemExit(FAULT_STATUS) from error


def explain(error: RuntimeError) -> str | None:
    """The likely reason for a failure of PyTorch's data loader.

    Args:
        error (RuntimeError): Any.

    Returns:
        str | None: One sentence on what happened and one on what to do; None if the error is not
        about a worker that was killed or hangs.
    """
    text = str(error)
    if text.startswith('DataLoader timed out'):
        reason = (
            'a worker hangs, or the disk is too slow. Look at the disk, raise '
            'train_dataloader.timeout (seconds), or find the place with '
            'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False'
        )
    elif not re.match(r'DataLoader worker \(pid', text):
        return None
    elif 'Bus error' in text:
        reason = (
            'shared memory is full. Enlarge /dev/shm (docker run --shm-size) or lower '
            'train_dataloader.num_workers'
        )
    else:
        reason = (
            'most likely the machine ran out of memory, which each worker takes its share of. '
            'Lower train_dataloader.num_workers or batch_size, or ask for more memory'
        )
    return f'Data loading failed: {text.splitlines()[0].rstrip(". ")}; {reason}.'
