"""A checkpoint out of turn, for a run that is about to end."""

import os.path as osp

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner


def save_checkpoint_on_exit(runner: Runner, iteration: int) -> str:
    """Save through the runner's own checkpoint hook, so that ``--resume`` finds the file.

    Several processes must call this together, as they do for any checkpoint.

    Args:
        runner: In training.
        iteration: How many iterations are done.

    Returns:
        What to tell the user: what was saved and how to go on, or why nothing was.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or hook.by_epoch:
        return 'Nothing was saved: that takes a CheckpointHook with by_epoch=False.'
    name = hook.filename_tmpl.format(iteration)
    if not _is_last(hook, name):  # else its turn has just been
        meta = dict(epoch=runner.epoch, iter=iteration)
        for average in (h for h in runner.hooks if isinstance(h, EMAHook)):
            if not runner.model.training:  # in a validation, the averaged weights are in it
                average._swap_ema_parameters()
        hook._save_checkpoint_with_step(runner, iteration, meta)
    if not _is_last(hook, name):
        return f'Iteration {iteration} could not be saved; the last checkpoint is {hook.last_ckpt}.'
    return f'Iteration {iteration} is saved in {hook.last_ckpt}: go on with --resume.'


def _is_last(hook: CheckpointHook, name: str) -> bool:
    return osp.basename(hook.last_ckpt or '') == name
