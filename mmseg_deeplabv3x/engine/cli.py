"""The logic of ``tools/train.py`` and ``tools/test.py``: from their arguments to a runner.

On a machine without CUDA, several processes talk through gloo and ``--amp`` means bfloat16;
upstream, neither works there.
"""

from __future__ import annotations

import argparse
import logging
import os
import os.path as osp
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from ..data_check import check_before_testing, check_before_training
from .arguments import test_parser, train_parser
from .data_roots import check_data_roots
from .loader_workers import prepare_loaders, run_training
from .misspelt import check_spelling
from .predictions import check_packable, pack_predictions, write_predictions
from .restarts import resumes_by_itself
from .resume import newest_checkpoint, read_checkpoint
from .user_errors import told_in_a_sentence
from .views import set_output_stride, use_tta


def train(argv: Sequence[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        argv (Sequence[str], optional): The arguments. Default: those of the process.
    """
    parser = train_parser()
    args = parser.parse_args(argv)
    # the start only: what goes wrong in a run may hang on all that was before
    with told_in_a_sentence(parser.prog):
        _let_the_first_speak(args.launcher)
        cfg = train_config(args)
        check_before_training(cfg, ('train_dataloader', 'val_dataloader'))
        runner = _build_runner(cfg, args)
    run_training(runner)
    _disconnect()


def test(argv: Sequence[str] | None = None) -> None:
    """Evaluate as the command line says.

    Args:
        argv (Sequence[str], optional): The arguments. Default: those of the process.
    """
    parser = test_parser()
    args = parser.parse_args(argv)
    if not args.tta and (args.scales or args.no_flip):
        parser.error('--scales and --no-flip choose the views of --tta: add --tta')
    if args.pack and not args.out:
        parser.error('--pack packs the predictions of --out: add --out FOLDER')
    with told_in_a_sentence(parser.prog):
        _let_the_first_speak(args.launcher)
        cfg = test_config(args)
        check_before_testing(cfg)
        _build_runner(cfg, args).test()
        if args.pack and is_main_process():
            print_log(f'Packed: {pack_predictions(cfg, args.out)}', 'current')
    _disconnect()


def _let_the_first_speak(launcher: str) -> None:
    """Of several processes, only the first logs the start; later, mmengine sees to that."""
    rank = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK').get(launcher)
    if rank and os.environ.get(rank, '0') != '0':
        MMLogger.get_current_instance().setLevel(logging.ERROR)


def _build_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    init_process_group(cfg.launcher)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _disconnect() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def train_config(args: argparse.Namespace) -> Config:
    """The config that a command line of :func:`.arguments.train_parser` asks for.

    Args:
        args (argparse.Namespace): The parsed command line.

    Returns:
        Config: Ready for a runner.

    Raises:
        FileNotFoundError: If the data, or the checkpoint to start from, is not there.
        ValueError: If ``--amp`` meets an optimizer wrapper that it does not know, the checkpoint
            that ``--resume`` is given cannot be resumed, or ``--cfg-options`` misspells a setting.
    """
    cfg = _load_config(args)
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.amp:
        _use_amp(cfg)
    cfg.resume = False
    if args.resume or resumes_by_itself():
        _resume(cfg, args)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not osp.isfile(weights):
        raise FileNotFoundError(f'load_from: there is no checkpoint file {weights!r}.')
    prepare_loaders(cfg)
    check_data_roots(cfg, ('train_dataloader', 'val_dataloader'))
    return cfg


def test_config(args: argparse.Namespace) -> Config:
    """The config that a command line of :func:`.arguments.test_parser` asks for.

    Args:
        args (argparse.Namespace): The parsed command line.

    Returns:
        Config: Ready for a runner.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If ``--output-stride`` meets a model that has none, ``--tta`` a data set or a
            ``tta_pipeline`` that it cannot change, ``--pack`` a data set without a list, or
            ``--cfg-options`` misspells a setting.
    """
    cfg = _load_config(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        _draw(cfg, args)
    _log_by_the_clock(cfg)
    if args.output_stride:
        set_output_stride(cfg.model, args.output_stride)
    if args.tta:
        use_tta(cfg, args.scales, False if args.no_flip else None)
    if args.fast:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='SpeedUpHook')]
    if args.out:
        write_predictions(cfg, args.out)
    if args.pack:
        check_packable(cfg)
    check_data_roots(cfg, ('test_dataloader',))
    return cfg


def _load_config(args: argparse.Namespace) -> Config:
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
        _plain_bn(cfg.model)
    return cfg


def _plain_bn(cfg) -> None:
    """Put BN in the place of SyncBN, which stock models name and which runs on GPUs only."""
    if isinstance(cfg, dict):
        if cfg.get('type') == 'SyncBN':
            cfg['type'] = 'BN'
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for value in cfg:
            _plain_bn(value)


def _use_amp(cfg: Config) -> None:
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'AutocastOptimWrapper'):
        raise ValueError(f'--amp takes the place of OptimWrapper, but optim_wrapper is {kind}.')
    if not torch.cuda.is_available():
        wrapper.type = 'AutocastOptimWrapper'
        for key in ('loss_scale', 'dtype'):
            wrapper.pop(key, None)
    elif kind == 'OptimWrapper':
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')


def _resume(cfg: Config, args: argparse.Namespace) -> None:
    """Resume from the checkpoint named on the command line, else from the newest that loads.

    A restarted job takes the named one only until it has saved one of its own.
    """
    named = 'load_from' in args.cfg_options
    checkpoint = None
    if resumes_by_itself() or not named:
        checkpoint = newest_checkpoint(cfg.work_dir)
    if checkpoint is None and named and args.resume:
        checkpoint = cfg.load_from
    if checkpoint is None:
        return
    # not left to the runner, which prefers the config's load_from to the work dir
    cfg.load_from, cfg.resume = checkpoint, True
    if args.seed is None and '://' not in checkpoint:
        # the runner takes this seed too, but only after the loader got the config's
        cfg.randomness.seed = read_checkpoint(checkpoint)['meta'].get('seed', cfg.randomness.seed)


def _draw(cfg: Config, args: argparse.Namespace) -> None:
    """Draw every image; upstream, only each 50th is drawn."""
    hooks = dict(cfg.get('default_hooks', {}))
    hook = dict(hooks.get('visualization') or dict(type='SegVisualizationHook'))
    hook.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
    cfg.default_hooks = dict(hooks, visualization=hook)
    if args.show_dir:
        visualizer = dict(cfg.get('visualizer', dict(type='SegLocalVisualizer')))
        local = ('LocalVisBackend', 'SafeLocalVisBackend')
        backends = [b for b in visualizer.get('vis_backends', []) if b['type'] not in local]
        # an absolute folder stays what it is; a relative one would be put into the work dir
        backends.append(dict(type='LocalVisBackend', img_save_dir=osp.abspath(args.show_dir)))
        cfg.visualizer = dict(visualizer, vis_backends=backends)


def _log_by_the_clock(cfg: Config) -> None:
    """Let mmengine's logger show progress and time per image; a logger of another type stays."""
    hooks = dict(cfg.get('default_hooks') or {})
    logger = hooks.get('logger', dict(type='LoggerHook'))
    if logger and logger['type'] == 'LoggerHook':
        cfg.default_hooks = dict(hooks, logger=dict(logger, type='ProgressLoggerHook'))


def init_process_group(launcher: str) -> None:
    """Connect the processes where the runner cannot: without CUDA, through gloo.

    mmengine sets a CUDA device before it connects; a group that is there already it takes as it is.

    Args:
        launcher (str): What started the processes.

    Raises:
        ValueError: If torchrun did not start this process, or slurm or mpi did without CUDA.
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
