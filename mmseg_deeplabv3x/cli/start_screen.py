"""What the console shows while a run starts: one screen. The log file has everything."""

import logging
import shlex
import sys

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import RUNNERS
from torch import nn
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from ..engine.hooks.checked_load_hook import pretrained_source

_PACKAGE = __name__.partition('.')[0]
LEAST = 8  # images that BN needs a batch
_ON_THE_WAY = ('logging', 'mmengine.logging', __name__, f'{_PACKAGE}.cli.messages')


def build_with_start_screen(cfg: Config, log_stays: bool = True) -> Runner:
    """Build the runner of a config; until it starts, its console shows warnings and our own lines.

    ``log_stays``: whether the log file is there after the run.
    """
    kind = RUNNERS.get(cfg.get('runner_type', 'Runner'))
    if kind is None:
        raise ValueError(f'runner_type: there is no runner {cfg.runner_type!r}.')
    screen = StartScreen(log_stays)

    class RunnerWithStartScreen(kind):
        def build_logger(self, *args, **kwargs):  # at once followed by 400 lines of environment
            logger = super().build_logger(*args, **kwargs)
            for handler in logger.handlers:
                if not isinstance(handler, logging.FileHandler):
                    handler.addFilter(screen.lets_pass)
            return logger

    runner = RunnerWithStartScreen.from_cfg(cfg)
    runner.register_hook(screen, 'LOWEST')
    return runner


class StartScreen(Hook):
    """Says what is about to run, once all of it is built and its weights are loaded."""

    shown = False

    def __init__(self, log_stays: bool = True):
        self.log_stays = log_stays

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """A filter for a console's handler."""
        frame = sys._getframe()
        while frame.f_globals.get('__name__', '').startswith(_ON_THE_WAY):
            frame = frame.f_back
        own = frame.f_globals.get('__name__', '').startswith(_PACKAGE)
        return self.shown or own or record.levelno >= logging.WARNING

    def before_train(self, runner: Runner) -> None:
        """Show the screen of a training."""
        optimizer = getattr(runner.optim_wrapper, 'optimizer', runner.optim_wrapper)
        rate = next(iter(runner.optim_wrapper.get_lr().values()))[0]
        schedule = f'iterations {runner.iter + 1} to {runner.max_iters}; '
        schedule += f'{type(optimizer).__name__} from a learning rate of {rate:g}'
        self._show(runner, ['train', 'val'] if runner.val_loop else ['train'], schedule=schedule)
        warn_of_few_images(runner)

    def before_test(self, runner: Runner) -> None:
        """Show the screen of an evaluation."""
        self._show(runner, ['test'])

    def _show(self, runner: Runner, splits: list[str], **lines: str) -> None:
        loaders = {split: getattr(runner, f'{split}_dataloader') for split in splits}
        model, name = runner.model, type(runner.model).__name__
        while hasattr(model, 'module'):  # of DDP, of TTA
            model, name = model.module, f'{name} of {type(model.module).__name__}'
        parts = [getattr(model, part, None) for part in ('backbone', 'neck', 'decode_head')]
        names = ', '.join(type(part).__name__ for part in parts if isinstance(part, nn.Module))
        strides = getattr(model, 'output_strides', {})
        uses = ['train'] * ('train' in splits) + ['test'] * (splits != ['train'])
        used = [f'{strides[use]} ({use})' for use in uses if strides]
        sources = [pretrained_source(getattr(m, 'init_cfg', None)) for m in model.modules()]
        sources.append(getattr(model, 'file', None))  # of an exported one
        device = next((p.device for p in model.parameters()), torch.device('cpu'))
        lines = dict(
            Config=runner.cfg.filename,
            Command=f'{sys.argv[0]} {shlex.join(sys.argv[1:])}',
            Data='; '.join(
                f'{split} {len(loader.dataset)} images, {loader.batch_size or "several"} a batch'
                for split, loader in loaders.items()
            ),
            Model=f'{name}{names and f" of {names}"}; '
            f'{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters'
            + f'; output_stride {", ".join(used)}'
            * bool(used),
            Weights=runner._load_from or next(filter(None, sources), 'random'),
            Device=f'{torch.cuda.get_device_name(device) if device.type == "cuda" else device}; '
            f'processes: {get_world_size()}',
            **{name.capitalize(): line for name, line in lines.items()},
            Log=runner.logger.log_file if self.log_stays else 'none; --work-dir FOLDER keeps one',
        )
        self.shown = True
        runner.logger.info('\n' + '\n'.join(f'  {name:<9} {line}' for name, line in lines.items()))


def warn_of_few_images(runner: Runner) -> None:
    """One line where BN learns its statistics from fewer than 8 images."""
    runner.model.train()  # as the loop is about to; frozen layers then say so
    kinds = [type(m) for m in runner.model.modules() if isinstance(m, _BatchNorm) and m.training]
    images = runner.train_dataloader.batch_size or LEAST
    if any(issubclass(kind, SyncBatchNorm) for kind in kinds):
        images *= get_world_size()
    if kinds and images < LEAST:
        runner.logger.info(  # no warning: a batch that fits may be all there is
            f'BN is trained on {images} images at a time; the mIoU in the paper (Table 9) is 77.21 '
            'with 16, 75.76 with 8, 64.43 with 4. Three ways out: model.freeze_bn=True, with '
            "pretrained weights; several GPUs with sync_bn='torch'; a larger batch by "
            'model.backbone.with_cp=True (tools/fit.py tells what fits).'
        )
