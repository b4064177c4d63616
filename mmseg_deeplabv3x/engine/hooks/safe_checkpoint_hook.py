"""Checkpoints that no kill and no full disk can spoil."""

from __future__ import annotations

import copy
import os.path as osp
from collections.abc import Callable

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...files import remove_unfinished, write_file
from ..checkpoints.resume import newest_checkpoint

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
    - ``last_checkpoint`` holds a name, not an absolute path, and the best checkpoint so far is
      looked for in this work dir: a copied work dir goes on from itself and leaves the original
      alone.
    - ``resume=True`` without ``load_from``, as mmseg's own ``tools/train.py --resume`` has it,
      takes the newest checkpoint that loads.

    A remote folder, ``backend_args`` or ``file_client_args`` are written as upstream does.

    Args:
        **kwargs: As of mmengine's ``CheckpointHook``.
    """

    _outdated = _left = ()

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint where the runner is left to find it."""
        if runner._resume and runner._load_from is None:
            runner._load_from = newest_checkpoint(runner.work_dir)
            runner._resume = runner._load_from is not None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the checkpoint that is resumed made outdated."""
        if runner._resume:
            self._left = checkpoint.get('outdated', ())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Name what this checkpoint makes outdated."""
        checkpoint['outdated'] = [osp.basename(path) for path in self._outdated]

    def before_train(self, runner: Runner) -> None:
        """Find the place to write to, and remove what a killed run left there."""
        super().before_train(runner)
        self._outdated, self._unsaved = [], None
        self._remove, self.file_backend.remove = self.file_backend.remove, self._outdated.append
        if not isinstance(self.file_backend, LocalBackend):
            return
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
            remove_unfinished(self.out_dir)
            remove_unfinished(runner.work_dir)
            for path in filter(osp.isfile, map(self._here, self._left)):
                self._remove(path)

    def after_train(self, runner: Runner) -> None:
        """Publish as upstream.

        Raises:
            OSError: If the end of the training could not be saved.
        """
        if self._unsaved:
            raise OSError(
                f'The training is at its end, which could not be saved: {self._unsaved}. Make room '
                f'and go on with --resume; the last good checkpoint is {self.last_ckpt}.'
            ) from self._unsaved
        super().after_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        save_with_step = super()._save_checkpoint_with_step

        def save() -> None:
            save_with_step(runner, step, meta)
            if is_main_process() and isinstance(self.file_backend, LocalBackend):
                name = osp.relpath(self.last_ckpt, runner.work_dir)
                write_file(osp.join(runner.work_dir, 'last_checkpoint'), name)

        self._unsaved = self._try(runner, save)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        save_best = super()._save_best_checkpoint
        self._try(runner, lambda: save_best(runner, metrics))

    def _try(self, runner: Runner, save: Callable[[], None]) -> OSError | None:
        """Save and remove what that made outdated; if it fails, be as before, warn, say why."""
        state = {name: copy.copy(getattr(self, name)) for name in _STATE if hasattr(self, name)}
        runtime_info = dict(runner.message_hub.runtime_info)
        try:
            save()
        except OSError as error:
            vars(self).update(state)
            runner.message_hub.runtime_info.clear()
            runner.message_hub.runtime_info.update(runtime_info)
            self._outdated.clear()
            runner.logger.warning(
                f'A checkpoint could not be written: {error}. Training goes on without it; the '
                f'last good one is {self.last_ckpt}.'
            )
            return error
        while self._outdated:
            self._remove(self._outdated.pop())
        return None

    def _here(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, osp.basename(path))
