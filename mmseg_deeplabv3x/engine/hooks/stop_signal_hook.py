"""Signals end a training in good order."""

import logging
import os.path as osp
import signal
import time

import torch
from mmengine.dist import barrier, get_world_size
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..loader_workers import FAULT_STATUS, explain_worker_failure

# The end (a scheduler, `kill`), Ctrl-C, and the warning that Slurm sends before the time is up.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# A launcher passes on what it gets, and what is sent to all processes then comes twice.
SAME_SECONDS = 1.0


@HOOKS.register_module()
class StopSignalHook(Hook):
    """At SIGTERM, SIGINT or SIGUSR1, end the iteration, save, and exit with 128 + the signal.

    The status is the one that shells use: 143, 130 or 138. A second signal, a second or more after
    the first one, ends the process at once, without saving. ``--resume`` goes on where the run was;
    with ``ExactResumeHook``, a validation that was cut short or about to start is run first.

    Of several processes, it is enough that one gets the signal: they agree after each iteration,
    and all stop after the same one. That costs one number through gloo, on the CPU: the hosts
    wait for each other, a GPU does not. (One process asks nobody.) A validation of several
    processes is finished first, since theirs may differ in length.

    A data-loading worker that dies while the network computes is treated alike, with the status
    75: PyTorch would raise its error in the middle of the step, which then is half done.
    """

    # after the checkpoint hook, which may have just saved
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Take the signals over."""
        self._status, self._why, self._in_step = 0, '', False
        self._first = None
        several = get_world_size() > 1
        self._group = torch.distributed.new_group(backend='gloo') if several else None
        self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        self._of_pytorch = signal.getsignal(signal.SIGCHLD)
        if callable(self._of_pytorch):
            self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._on_child)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """From here, weights and statistics change."""
        self._in_step = True

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save and raise ``SystemExit`` if a process was told to stop."""
        self._in_step, status = False, torch.tensor(self._status)
        if self._group is not None:
            torch.distributed.all_reduce(status, torch.distributed.ReduceOp.MAX, self._group)
        if status:
            self._stop(runner, runner.iter + 1, int(status))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """The same, if this process is the only one."""
        loop = getattr(runner, '_train_loop', None)  # as it is: the property would build one
        # AsyncReplicaLoop asks for itself: here the runner has a copy of its model
        if self._group is None and getattr(loop, '_model', None) is None:
            self.stop_if_told(runner, runner.iter)

    def stop_if_told(self, runner: Runner, iteration: int) -> None:
        """The same between two steps of the only process; so many iterations are done."""
        if self._status:
            self._stop(runner, iteration, self._status)

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame) -> None:
        if self._first is None:
            self._first = time.monotonic()
            self._status, self._why = 128 + number, f'Stopped by {signal.Signals(number).name}.'
        elif time.monotonic() - self._first > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _on_child(self, number: int, frame) -> None:
        try:
            self._of_pytorch(number, frame)
        except RuntimeError as error:
            if not self._in_step:
                raise
            self._status = self._status or FAULT_STATUS
            self._why = explain_worker_failure(error) or str(error)

    def _stop(self, runner: Runner, iteration: int, status: int) -> None:
        saved = save_checkpoint_on_exit(runner, iteration)
        why = self._why or 'Stopped with another process of this run.'
        # the logger mutes warnings of all processes but the first
        level = logging.ERROR if self._status == FAULT_STATUS else logging.WARNING
        runner.logger.log(level, f'{why} {saved}')
        barrier(self._group)
        # the first process to exit makes a launcher end the others
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(status)


def save_checkpoint_on_exit(runner: Runner, iteration: int) -> str:
    """Save through the runner's own checkpoint hook, so that ``--resume`` finds the file.

    Several processes must call this together, as they do for any checkpoint. Returns what to tell
    the user: what was saved and how to go on, or why nothing was.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or hook.by_epoch:
        return 'Nothing was saved: that takes a CheckpointHook with by_epoch=False.'
    name = hook.filename_tmpl.format(iteration)
    if osp.basename(hook.last_ckpt or '') != name:  # else its turn has just been
        for average in (h for h in runner.hooks if isinstance(h, EMAHook)):
            if not runner.model.training:  # in a validation, the averaged weights are in it
                average._swap_ema_parameters()
        meta = dict(epoch=runner.epoch, iter=iteration)
        hook._save_checkpoint_with_step(runner, iteration, meta)
    if osp.basename(hook.last_ckpt or '') != name:
        return f'Iteration {iteration} could not be saved; the last checkpoint is {hook.last_ckpt}.'
    return f'Iteration {iteration} is saved in {hook.last_ckpt}: go on with --resume.'
