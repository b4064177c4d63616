"""Checkpoints that no kill and no full disk can spoil."""

import copy
import os.path as osp
from collections.abc import Callable

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...files import remove_unfinished
from ..checkpoints.loading import inner_model
from ..checkpoints.resume import load_once, newest_checkpoint

# Attributes that upstream changes before it writes.
_STATE = ('last_ckpt', 'keep_ckpt_ids', 'best_ckpt_path', 'best_ckpt_path_dict')


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``; whatever happens, the last good checkpoint stays.

    The options and the names of files are the framework's. What differs, for regular and ``best_``
    checkpoints alike:

    - A checkpoint is written aside, brought to the disk, read back and renamed; only then is the
      outdated one removed. Upstream removes first, and with ``max_keep_ckpts=1`` a kill during the
      write loses everything. The new one names the outdated one: what a kill in between leaves is
      removed on resuming.
    - One that cannot be written (disk full, say) leaves no partial file. The log warns, training
      goes on, and the outdated one stays. If no later one can be written either, the training
      ends with an error after its last iteration.
    - The last checkpoint and the best one so far are looked for in this work dir: a copied work dir
      goes on from itself and leaves the original alone.
    - Within a step of several iterations (``accumulative_counts``) the gradients are saved too.
    - ``resume=True`` without ``load_from``, as mmseg's own ``tools/train.py --resume`` has it,
      takes the newest checkpoint that loads.

    A remote folder, ``backend_args`` or ``file_client_args`` are written as upstream does.

    Args:
        **kwargs: As of mmengine's ``CheckpointHook``.
    """

    file_backend = None  # before a training
    _outdated_before = ()  # files that the resumed checkpoint made outdated
    _gradients = {}  # that it holds

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint where the runner is left to find it."""
        if runner._resume is True and runner._load_from is None:  # FlexibleRunner takes a path, too
            runner._load_from, checkpoint = newest_checkpoint(runner.work_dir)
            runner._resume = checkpoint is not None
            if runner._resume:
                load_once(runner._load_from, checkpoint)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the checkpoint that is resumed made outdated, and its gradients."""
        if runner._resume:
            self._gradients = checkpoint.get('gradients', {})
            self._outdated_before = checkpoint.get('outdated', ())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Name what this checkpoint makes outdated; add what its step has come to so far."""
        parameters = _unfinished_step(runner).items()
        checkpoint['gradients'] = {n: p.grad.cpu() for n, p in parameters if p.grad is not None}
        outdated = self.file_backend.outdated if self.file_backend else ()
        checkpoint['outdated'] = [osp.basename(path) for path in outdated]

    def before_train(self, runner: Runner) -> None:
        """Find the place to write to, and remove what a killed run left there."""
        super().before_train(runner)
        for name, parameter in _unfinished_step(runner).items():
            if name in self._gradients:
                parameter.grad = self._gradients[name].to(parameter.device)
        self._unsaved = None
        is_local = isinstance(self.file_backend, LocalBackend)
        self.file_backend = _RemovesLater(self.file_backend)
        if not is_local:
            return
        self.out_dir = osp.abspath(self.out_dir)  # for last_checkpoint, which names files by it
        if self.file_client_args is None and self.backend_args is None:
            self.backend_args = dict(backend='checkpoint')
        # the checkpoint that was resumed may have been written in another folder
        resumed = self._here(runner.message_hub.runtime_info.get('last_ckpt', ''))
        if osp.isfile(resumed):
            self.last_ckpt = resumed
        if getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._here(self.best_ckpt_path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = path and self._here(path)
        if is_main_process():
            for folder in (self.out_dir, runner.work_dir):
                remove_unfinished(folder)
            self.file_backend.outdated += filter(osp.isfile, map(self._here, self._outdated_before))
            self.file_backend.remove_outdated()

    def after_train(self, runner: Runner) -> None:
        """Publish as upstream; raise ``OSError`` if the end of the training is not saved."""
        if self._unsaved:
            raise OSError(
                f'The training is at its end, which could not be saved: {self._unsaved}. Make room '
                f'and go on with --resume; the last good checkpoint is {self.last_ckpt}.'
            ) from self._unsaved
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._unsaved = self._try(super()._save_checkpoint_with_step, runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        self._try(super()._save_best_checkpoint, runner, metrics)

    def _try(self, save: Callable, runner: Runner, *args) -> OSError | None:
        """Save and remove what that made outdated; if it fails, be as before, warn, say why."""
        for parameter in _unfinished_step(runner).values() if get_world_size() > 1 else ():
            # one process saves the mean of all: the step is on the mean of the sums in any case
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            all_reduce(parameter.grad, 'mean')
        state = {name: copy.copy(getattr(self, name)) for name in _STATE if hasattr(self, name)}
        runtime_info = dict(runner.message_hub.runtime_info)
        try:
            save(runner, *args)
        except OSError as error:
            vars(self).update(state)
            runner.message_hub.runtime_info.clear()
            runner.message_hub.runtime_info.update(runtime_info)
            self.file_backend.outdated.clear()
            runner.logger.warning(
                f'A checkpoint could not be written: {error}. Training goes on without it; the '
                f'last good one is {self.last_ckpt}.'
            )
            return error
        self.file_backend.remove_outdated()
        return None

    def _here(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, osp.basename(path))


class _RemovesLater:
    """A file backend that removes a file only when it is told so once more.

    Not the backend itself is changed: mmengine keeps one ``FileClient`` for a whole process.
    """

    def __init__(self, backend):
        self.backend, self.outdated = backend, []

    def __getattr__(self, name):
        if name.startswith('__'):  # Python's own questions, as when this is copied
            raise AttributeError(name)
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    def remove_outdated(self) -> None:
        while self.outdated:
            self.backend.remove(self.outdated.pop())


def _unfinished_step(runner: Runner) -> dict[str, torch.nn.Parameter]:
    """Parameters in the middle of a step, by name."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return {}
    return {n: p for n, p in inner_model(runner.model).named_parameters() if p.requires_grad}
