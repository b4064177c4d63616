"""A job that its launcher starts again goes on by itself."""

from __future__ import annotations

import os

from .resume import last_checkpoint


def was_restarted() -> bool:
    """Whether torchrun started this process anew, or Slurm requeued its job."""
    names = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
    return any(int(os.environ.get(name) or 0) for name in names)


def check_fresh_start(work_dir: str) -> None:
    """Refuse to start afresh beside the checkpoints of another run, where torchrun may restart.

    Restarted before its first checkpoint, the run would go on from the other's.

    Args:
        work_dir (str): Where the run will keep its checkpoints.

    Raises:
        ValueError: If there is one already.
    """
    found = last_checkpoint(work_dir)
    if found and int(os.environ.get('TORCHELASTIC_MAX_RESTARTS') or 0):
        raise ValueError(
            f'MAX_RESTARTS needs a work dir without checkpoints of another run, but found {found}: '
            'choose another --work-dir, or add --resume.'
        )
