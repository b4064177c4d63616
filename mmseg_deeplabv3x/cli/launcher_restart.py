"""A job that its launcher starts again goes on by itself."""

import os


def is_restarted_by_launcher() -> bool:
    """Whether this may be a run that was started before: go on from what its work dir holds.

    So it is after Slurm requeued the job, and always where torchrun may restart it: torchrun's
    count of restarts is one node's own, and all processes must do the same
    (https://github.com/pytorch/pytorch/issues/135712).
    """
    names = ('TORCHELASTIC_MAX_RESTARTS', 'SLURM_RESTART_COUNT')
    return any(int(os.environ.get(name) or 0) for name in names)
