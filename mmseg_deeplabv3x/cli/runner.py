"""From a config file and the flags that all runs share to a runner.

On a machine without CUDA, several processes talk through gloo and ``--amp`` means bfloat16;
upstream, neither works there.
"""

import argparse
import logging
import os
import os.path as osp

import mmcv.ops
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.nn import SyncBatchNorm

from ..engine.hooks.checked_load_hook import CheckedLoadHook
from ..transforms.kinds import builds_one_of, parts
from .config_errors import check_numbers, check_spelling
from .start_screen import build_with_start_screen


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that a command line names, with the settings that it changes."""
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    check_spelling(args.cfg_options, cfg)
    cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    cfg.randomness = dict(cfg.get('randomness') or {})
    if cfg.randomness.get('seed') is None:
        # mmengine draws one, and then a resumed run sees other data than an unbroken one
        cfg.randomness.seed = 0
    if cfg.launcher != 'none' and not torch.cuda.is_available():
        # the runner would pass a GPU to DDP, and SyncBN runs on GPUs only
        wrapper = cfg.get('model_wrapper_cfg') or dict(broadcast_buffers=False)
        cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)
        cfg.sync_bn = None
        for _, layer in parts(cfg.model):  # stock models name SyncBN
            if builds_one_of(layer, (SyncBatchNorm, mmcv.ops.SyncBatchNorm), MODELS):
                layer['type'] = 'BN'
    return cfg


def log_on_first_rank_only(launcher: str) -> bool:
    """Of several processes, only the first logs the start; whether this is it.

    Later, mmengine sees to that.
    """
    rank = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK').get(launcher)
    is_first = not rank or os.environ.get(rank, '0') == '0'
    if not is_first:
        MMLogger.get_current_instance().setLevel(logging.ERROR)
    return is_first


def build_runner(cfg: Config, args: argparse.Namespace, training: bool = True) -> Runner:
    """Build the runner of a config, once the processes are connected; it checks what it loads."""
    check_numbers(cfg)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    init_process_group(cfg.launcher)
    runner = build_with_start_screen(cfg, log_stays=training or bool(args.work_dir))
    runner.register_hook(CheckedLoadHook(training, args.other_classes))
    return runner


def init_process_group(launcher: str) -> None:
    """Connect the processes where the runner cannot: without CUDA, through gloo.

    mmengine sets a CUDA device before it connects; a group that is there already it takes as it is.
    """
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise ValueError(
            '--launcher pytorch is for processes started by torchrun, and there is no RANK in the '
            'environment: use tools/dist_train.sh or tools/dist_test.sh.'
        )
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher {launcher} needs CUDA; without it, use tools/dist_train.sh or '
            'tools/dist_test.sh.'
        )
    torch.distributed.init_process_group('gloo')


def disconnect() -> None:
    """Part the processes in good order."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
