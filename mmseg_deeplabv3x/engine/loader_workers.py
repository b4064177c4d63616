"""The processes that load data: they may be killed, hang, or be hit by signals meant for others."""

import os
import re
from traceback import walk_tb

from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from mmengine.registry import FUNCTIONS

# EX_TEMPFAIL of sysexits.h: may well work when tried again.
FAULT_STATUS = 75


@FUNCTIONS.register_module()
def init_worker_in_own_group(worker_id: int, num_workers: int, seed: int) -> None:
    """Seed a worker as the runner does, in a process group of its own.

    Ctrl-C and torchrun signal a whole group. The main process then ends its iteration first, and
    needs its workers for that. They end with it all the same.

    Args:
        worker_id: Number of the worker.
        num_workers: Number of all workers of the loader.
        seed: Seed of the run.
    """
    os.setpgrp()
    worker_init_fn(worker_id, num_workers, get_rank(), seed)


# What a loader raises whose worker is gone: which one depends on what it was about to send.
WORKER_FAILURES = (RuntimeError, ConnectionError, EOFError)


def explain_worker_failure(error: Exception) -> str | None:
    """The likely reason for a failure of PyTorch's data loader.

    Args:
        error: Any.

    Returns:
        One sentence on what happened and one on what to do; None if the error is not
        about a worker that was killed or hangs.
    """
    text = str(error)
    if isinstance(error, (ConnectionError, EOFError)):
        modules = [frame.f_globals.get('__name__') for frame, _ in walk_tb(error.__traceback__)]
        if 'torch.utils.data.dataloader' in modules:
            text = f'DataLoader worker (pid unknown) exited while it sent data ({error!r})'
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
