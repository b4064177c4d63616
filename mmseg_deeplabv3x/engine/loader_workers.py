"""The processes that load data: they may be killed, hang, or be hit by signals meant for others."""

import os
import re
from traceback import walk_tb

from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from mmengine.registry import FUNCTIONS

FAULT_STATUS = 75  # EX_TEMPFAIL of sysexits.h: may well work when tried again


@FUNCTIONS.register_module()
def init_worker_in_own_group(worker_id: int, num_workers: int, seed: int) -> None:
    """Seed a worker as the runner does, in a process group of its own.

    Ctrl-C and torchrun signal a whole group; the main process needs its workers to end its
    iteration, and they end with it all the same.
    """
    os.setpgrp()
    worker_init_fn(worker_id, num_workers, get_rank(), seed)


# What a loader raises whose worker is gone: which one depends on what it was about to send.
WORKER_FAILURES = (RuntimeError, ConnectionError, EOFError)
_REASONS = {  # what the error says: what happened and what to do
    'DataLoader timed out': 'a worker hangs, or the disk is too slow. Look at the disk, raise '
    'train_dataloader.timeout (seconds), or find the place with train_dataloader.num_workers=0 '
    'train_dataloader.persistent_workers=False',
    r'DataLoader worker \(pid.*Bus error': 'shared memory is full. Enlarge /dev/shm (docker run '
    '--shm-size) or lower train_dataloader.num_workers',
    r'DataLoader worker \(pid': 'most likely the machine ran out of memory, which each worker '
    'takes its share of. Lower train_dataloader.num_workers or batch_size, or ask for more memory',
}


def explain_worker_failure(error: Exception) -> str | None:
    """What happened and what to do, where the error is about a worker that was killed or hangs."""
    text = str(error)
    if isinstance(error, (ConnectionError, EOFError)):
        modules = [frame.f_globals.get('__name__') for frame, _ in walk_tb(error.__traceback__)]
        if 'torch.utils.data.dataloader' in modules:
            text = f'DataLoader worker (pid unknown) exited while it sent data ({error!r})'
    for start, reason in _REASONS.items():
        if re.match(start, text, re.DOTALL):
            return f'Data loading failed: {text.splitlines()[0].rstrip(". ")}; {reason}.'
    return None
