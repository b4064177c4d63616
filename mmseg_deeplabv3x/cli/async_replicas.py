"""What the environment of ``tools/async_train.sh`` asks of a training."""

import atexit
import logging
import os
import shutil
import tempfile

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from ..engine.loops.async_replica_loop import HOLDER


def use_async_replicas(cfg: Config) -> bool:
    """Train with as many replicas as the environment says, or be one of them: then it is True.

    A replica keeps nothing, no log, no checkpoint, no validation, and resumes nothing.
    """
    for name, key in (('ASYNC_REPLICAS', 'replicas'), ('PORT', 'port')):
        value = os.environ.get(name)
        if 'ASYNC_REPLICAS' in os.environ and value:
            if not value.isdigit():
                raise ValueError(f'{name} must be a number, but is {value!r}.')
            cfg.train_cfg.update({'type': 'AsyncReplicaLoop', key: int(value)})
    if HOLDER not in os.environ:
        return False
    cfg.train_cfg.type = 'AsyncReplicaLoop'
    cfg.load_from = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.work_dir = tempfile.mkdtemp(prefix='replica-')
    atexit.register(shutil.rmtree, cfg.work_dir, ignore_errors=True)
    cfg.log_level = 'ERROR'
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get('ASYNC_INDEX', 0)) % torch.cuda.device_count())
    return True
