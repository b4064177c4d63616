"""``tools/train.py``: from a command line to a training."""

import argparse
import os.path as osp
import signal
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import DATA_SAMPLERS, LOOPS

from ..data_check import check_before_training
from ..engine.checkpoints.checkpoint_on_exit import save_checkpoint_on_exit
from ..engine.checkpoints.resume import load_once, newest_checkpoint, read_checkpoint
from ..engine.loader_workers import FAULT_STATUS, WORKER_FAILURES, explain_worker_failure
from ..transforms.kinds import builds_one_of
from .arguments import runner_parser, seed
from .launcher_restart import is_restarted_by_launcher
from .messages import install_messages
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
        log_on_first_rank_only(args.launcher)
        cfg = train_config(args)
        check_before_training(cfg, ('train_dataloader', 'val_dataloader'))
        runner = build_runner(cfg, args)
        runner.register_hook(first_iteration)
        run_training(runner)
    disconnect()


def train_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/train.py``."""
    default = 'work_dir of the config, else work_dirs/<name of the config>'
    parser = runner_parser('Train a segmentor.', f'logs and checkpoints (default: {default})')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the newest checkpoint in the work dir that loads, or, as --resume FILE, '
        'from that one; start afresh if there is none yet',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 with a loss scale on a GPU, bfloat16 on a CPU',
    )
    parser.add_argument(
        '--seed', type=seed, help="seed of all that is random (default: the config's, else 0)"
    )
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
    """The config that a command line of :func:`train_parser` asks for.

    Args:
        args: The parsed command line.

    Returns:
        Ready for a runner.

    Raises:
        FileNotFoundError: If the checkpoint to start from is not there.
        ValueError: If ``--amp`` meets an optimizer wrapper that it does not know, the checkpoint
            that ``--resume`` is given cannot be resumed, or ``--cfg-options`` misspells a setting.
    """
    cfg = load_config(args)
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.amp:
        _use_amp(cfg)
    cfg.resume = False
    if args.resume or is_restarted_by_launcher():
        _resume(cfg, args)
    weights = cfg.get('load_from')
    if weights and '://' not in weights and not osp.isfile(weights):
        raise FileNotFoundError(f'load_from: there is no checkpoint file {weights!r}.')
    interval = (cfg.get('train_cfg') or {}).get('val_interval', 1)
    if interval == 0:  # a division by it, after the first iteration
        raise ValueError(f'train_cfg.val_interval must be at least 1, but got {interval}.')
    _check_end(cfg)
    prepare_loaders(cfg)
    return cfg


def _check_end(cfg: Config) -> None:
    """Refuse epochs that never end."""
    loop = cfg.get('train_cfg') or {}
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    by_epoch = loop.get('by_epoch')
    by_epoch = builds_one_of(loop, EpochBasedTrainLoop, LOOPS) if 'type' in loop else by_epoch
    if by_epoch and 'type' in sampler and builds_one_of(sampler, InfiniteSampler, DATA_SAMPLERS):
        raise ValueError(
            f'train_cfg trains by epochs, and train_dataloader.sampler, {sampler["type"]}, has no '
            'end: use DefaultSampler, or IterBasedTrainLoop with max_iters.'
        )


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
    path = checkpoint = None
    if is_restarted_by_launcher() or not named:
        path, checkpoint = newest_checkpoint(cfg.work_dir)
    if path is None and named and args.resume:
        path = cfg.load_from
        checkpoint = None if '://' in path else read_checkpoint(path)
    if path is None:
        return
    # not left to the runner, which prefers the config's load_from to the work dir
    cfg.load_from, cfg.resume = path, True
    if checkpoint is None:
        return
    load_once(path, checkpoint)
    if args.seed is None:
        # the runner takes this seed too, but only after the loader got the config's
        cfg.randomness.seed = checkpoint['meta'].get('seed', cfg.randomness.seed)


def prepare_loaders(cfg: Config) -> None:
    """Give a training's data loaders a time-out, and their workers process groups of their own.

    A loader that sets ``timeout`` or ``worker_init_fn`` keeps its own; one without workers has no
    use for either.

    Args:
        cfg: A runner's config, changed in place; has a seed.
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


def run_training(runner: Runner) -> None:
    """``runner.train()``; where a data-loading worker fails, one message, a checkpoint, an exit.

    Saved is what a single process has. Of several, the one without data cannot save with the
    others, which are in the middle of an iteration: the last regular checkpoint counts.

    Args:
        runner: Ready to train.

    Raises:
        SystemExit: With the status 75, if a worker was killed or gave no data in time.
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
