"""``tools/train.py``: from a command line to a training."""

import argparse
import inspect
import os
import os.path as osp
import shutil
import signal
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmseg.registry import DATA_SAMPLERS, LOOPS, OPTIM_WRAPPERS, PARAM_SCHEDULERS

from ..data_check import check_before_training
from ..engine.checkpoints.resume import load_once, newest_checkpoint, read_checkpoint
from ..engine.hooks.stop_signal_hook import save_checkpoint_on_exit
from ..engine.loader_workers import FAULT_STATUS, WORKER_FAILURES, explain_worker_failure
from ..engine.optimizers.autocast_optim_wrapper import AutocastOptimWrapper
from ..transforms.kinds import builds_one_of, kind_of
from . import dry_run
from .arguments import runner_parser, seed
from .async_replicas import use_async_replicas
from .messages import install_messages
from .report import check_plotly, write_report
from .runner import build_runner, disconnect, load_config, log_on_first_rank_only
from .user_errors import exit_on_user_error

# Far longer than a batch takes, even on a slow disk; half of what NCCL waits for a process, so that
# this message comes first.
TIMEOUT_SECONDS = 300


def train(argv: Sequence[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = train_parser()
    args = parse(parser, argv)
    install_messages()
    with exit_on_user_error(parser.prog) as first_iteration:
        is_first = log_on_first_rank_only(args.launcher)
        if args.report:
            check_plotly()
        cfg = train_config(args)
        check_before_training(cfg, ('train_dataloader', 'val_dataloader'))
        if args.dry_run:
            if is_first:
                print(dry_run.plan(cfg, args.resumed))
            dry_run.shorten(cfg)
        runner = build_runner(cfg, args)
        runner.register_hook(first_iteration)
        run_training(runner)
        if args.dry_run:
            shutil.rmtree(cfg.work_dir)
            if is_first:
                print('Dry run: all of it works.')
        elif args.report and is_first:
            print(f'Report: {write_report([cfg.work_dir])}')
    disconnect()


def train_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/train.py``."""
    default = 'work_dir of the config, else work_dirs/<name of the config>'
    parser = runner_parser(
        'Train a segmentor.',
        f'logs and checkpoints (default: {default})',
        'configs/deeplabv3x_r101_os8_voc.py --amp',
        'configs/my.py --resume --cfg-options train_dataloader.batch_size=8',
    )
    switches = {
        '--resume': 'go on from the newest checkpoint in the work dir that loads, or, as --resume '
        'FILE, from that one; start afresh if there is none yet',
        '--amp': 'mixed precision: float16 with a loss scale on a GPU, bfloat16 on a CPU',
        '--auto-scale-lr': 'scale the learning rate by images a step over '
        'auto_scale_lr.base_batch_size (16)',
        '--dry-run': 'build everything, train one iteration, evaluate one image, keep nothing',
        '--report': 'at the end, write WORK_DIR/report.html about it',
    }
    for name, text in switches.items():
        parser.add_argument(name, action='store_true', help=text)
    seeds = "seed of all that is random (default: the config's, else 0)"
    parser.add_argument('--seed', type=seed, help=seeds)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; mmseg 0.x's ``--resume FILE`` and ``--resume-from FILE`` are known."""
    args, rest = parser.parse_known_args(argv)
    if rest[:1] == ['--resume-from']:
        args.resume = True
        del rest[0]
    if args.resume and len(rest) == 1 and not rest[0].startswith('-'):
        args.cfg_options = dict(args.cfg_options, load_from=rest.pop())
    if rest:
        parser.error(f'unrecognized arguments: {" ".join(rest)}')
    return args


def train_config(args: argparse.Namespace) -> Config:
    """The config, ready for a runner, that a command line of :func:`train_parser` asks for."""
    cfg = load_config(args)
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.amp:
        _use_amp(cfg)
    if args.auto_scale_lr:
        cfg.auto_scale_lr = dict(cfg.get('auto_scale_lr') or dict(base_batch_size=16), enable=True)
    cfg.resume, args.resumed = False, None
    if use_async_replicas(cfg):
        args.dry_run = args.report = False  # the holder's business
    elif args.resume or is_restarted_by_launcher():
        _resume(cfg, args)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not osp.isfile(weights):
        raise FileNotFoundError(f'load_from: there is no checkpoint file {weights!r}.')
    _check_end(cfg)
    prepare_loaders(cfg)
    return cfg


def _check_end(cfg: Config) -> None:
    """Refuse epochs that never end, schedules of epochs without any, evaluations at no time."""
    loop = cfg.get('train_cfg') or {}
    for name, least in (('val_interval', 1), ('val_begin', 0)):  # used after the first iteration
        value = loop.get(name, 1)
        if not isinstance(value, int) or value < least:
            raise ValueError(f'train_cfg.{name} must be at least {least}, but got {value!r}.')
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    by_epoch = loop.get('by_epoch')
    by_epoch = builds_one_of(loop, EpochBasedTrainLoop, LOOPS) if 'type' in loop else by_epoch
    if by_epoch and 'type' in sampler and builds_one_of(sampler, InfiniteSampler, DATA_SAMPLERS):
        raise ValueError(
            f'train_cfg trains by epochs, and train_dataloader.sampler, {sampler["type"]}, has no '
            'end: use DefaultSampler, or IterBasedTrainLoop with max_iters.'
        )
    iterates = 'type' in loop and builds_one_of(loop, IterBasedTrainLoop, LOOPS)
    schedules = cfg.get('param_scheduler') or []
    for schedule in [schedules] if hasattr(schedules, 'items') else schedules:
        kind = kind_of(schedule, PARAM_SCHEDULERS) if 'type' in schedule else None
        known = inspect.isclass(kind) and not hasattr(kind, 'need_val_args')  # by the scores
        epochs = schedule.get('by_epoch', True) and not schedule.get('convert_to_iter_based')
        if iterates and known and epochs:
            raise ValueError(
                f'param_scheduler: {schedule["type"]} counts epochs, and train_cfg trains by '
                'iterations, so the learning rate would never change: give it by_epoch=False.'
            )


def _use_amp(cfg: Config) -> None:
    wrapper = cfg.optim_wrapper
    name = wrapper.setdefault('type', 'OptimWrapper')
    kind = kind_of(wrapper, OPTIM_WRAPPERS)
    if kind not in (OptimWrapper, AmpOptimWrapper, AutocastOptimWrapper):
        raise ValueError(f'--amp takes the place of OptimWrapper, but optim_wrapper is {name}.')
    if not torch.cuda.is_available():
        wrapper.type = 'AutocastOptimWrapper'
        for key in ('loss_scale', 'dtype'):
            wrapper.pop(key, None)
    elif kind is OptimWrapper:
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')


def is_restarted_by_launcher() -> bool:
    """Whether this may be a run that was started before: go on from what its work dir holds.

    So it is after Slurm requeued the job, and always where torchrun may restart it: torchrun's
    count of restarts is one node's own, and all processes must do the same
    (https://github.com/pytorch/pytorch/issues/135712).
    """
    names = ('TORCHELASTIC_MAX_RESTARTS', 'SLURM_RESTART_COUNT')
    return any(int(os.environ.get(name) or 0) for name in names)


def _resume(cfg: Config, args: argparse.Namespace) -> None:
    """Resume from the checkpoint named on the command line, else from the newest that loads.

    A restarted job takes the named one only until it has saved one of its own.
    """
    named = 'load_from' in args.cfg_options
    path = checkpoint = None
    if is_restarted_by_launcher() or not named:
        path, checkpoint = newest_checkpoint(cfg.work_dir)
    if path is None and named and args.resume:
        path = cfg.load_from
        checkpoint = None if '://' in path else read_checkpoint(path)
    if path is not None:  # not left to the runner, which prefers load_from to the work dir
        cfg.load_from, cfg.resume = path, True
    if checkpoint is not None:
        load_once(path, checkpoint)
        args.resumed = checkpoint['meta']
        if args.seed is None:  # the runner takes it after the loader got the config's
            cfg.randomness.seed = checkpoint['meta'].get('seed', cfg.randomness.seed)


def prepare_loaders(cfg: Config) -> None:
    """Give data loaders with workers a time-out, and these process groups of their own.

    A loader that sets ``timeout`` or ``worker_init_fn`` keeps its own.
    """
    for loader in (cfg.get('train_dataloader'), cfg.get('val_dataloader')):
        if loader and loader.get('num_workers'):
            loader.setdefault('timeout', TIMEOUT_SECONDS)
            own_group = dict(type='init_worker_in_own_group', num_workers=loader.num_workers)
            loader.setdefault('worker_init_fn', dict(own_group, seed=cfg.randomness.seed))


def run_training(runner: Runner) -> None:
    """``runner.train()``; where a data-loading worker fails, a message, a checkpoint, status 75.

    Saved is what a single process has. Of several, the one without data cannot save with the
    others, which are in the middle of an iteration: the last regular checkpoint counts.
    """
    try:
        runner.train()
    except WORKER_FAILURES as error:
        why = explain_worker_failure(error)
        if why is None:
            raise
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would tell it once more, any time
        # an error, since the logger mutes warnings of all processes but the first
        runner.logger.error(why)
        if get_world_size() == 1 and runner.iter:
            runner.logger.error(save_checkpoint_on_exit(runner, runner.iter))
        raise SystemExit(FAULT_STATUS) from error
