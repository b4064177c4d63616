from types import SimpleNamespace

import torch
from mmengine.hooks import CheckpointHook, EMAHook
from torch import nn

from mmseg_deeplabv3x.engine.checkpoints.checkpoint_on_exit import save_checkpoint_on_exit


class Saves(CheckpointHook):
    """Keeps what the hooks of a runner make of a checkpoint."""

    def _save_checkpoint_with_step(self, runner, step, meta):
        state = runner.model.state_dict()
        self.saved = dict(state_dict={key: value.clone() for key, value in state.items()})
        for hook in runner.hooks:
            hook.before_save_checkpoint(runner, self.saved)
        self.last_ckpt = self.filename_tmpl.format(step)


def test_a_stop_in_a_validation_saves_the_trained_weights_and_their_average_as_such():
    model, average, hook = nn.Linear(1, 1, bias=False), EMAHook(), Saves(by_epoch=False)
    hook.filename_tmpl, hook.last_ckpt = 'iter_{}.pth', None
    nn.init.constant_(model.weight, 1.0)
    runner = SimpleNamespace(model=model, hooks=[average, hook], epoch=0)
    average.before_run(runner)
    nn.init.constant_(model.weight, 2.0)
    for validating in (False, True):
        if validating:
            model.eval()
            average.before_val_epoch(runner)
        save_checkpoint_on_exit(runner, 3 + validating)
        assert hook.saved['ema_state_dict']['module.weight'].item() == 2.0
        assert hook.saved['state_dict']['weight'].item() == 1.0
    assert isinstance(hook.saved['state_dict']['weight'], torch.Tensor)
