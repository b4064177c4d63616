"""What needs no run of the tool; the rest is in tests/tools/test_faults.py."""

from __future__ import annotations

import logging
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook, EMAHook
from torch import nn

from mmseg_deeplabv3x.engine.hooks import StopSignalHook
from mmseg_deeplabv3x.engine.hooks.stop_signal_hook import SIGNALS, save_checkpoint_on_exit


class Recorder(CheckpointHook):
    """A checkpoint hook that writes nothing."""

    saved = None

    def _save_checkpoint_with_step(self, runner, step, meta):
        self.saved, self.last_ckpt = (step, meta), f'run/iter_{step}.pth'


@pytest.fixture
def runner():
    hook = Recorder(by_epoch=False)
    return SimpleNamespace(
        hooks=[hook], iter=6, epoch=0, logger=logging.getLogger('stop'), recorder=hook
    )


@pytest.fixture
def stop(runner):
    numbers = (*SIGNALS, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    hook = StopSignalHook()
    hook.before_train(runner)
    yield hook
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


def iteration(hook, runner, during=lambda: None):
    hook.before_train_iter(runner, runner.iter)
    during()
    hook.after_train_iter(runner, runner.iter)


@pytest.mark.parametrize('number', SIGNALS)
def test_the_iteration_is_ended_and_saved(stop, runner, number, caplog):
    iteration(stop, runner)
    assert runner.recorder.saved is None
    with pytest.raises(SystemExit) as caught:
        iteration(stop, runner, lambda: os.kill(os.getpid(), number))
    assert caught.value.code == 128 + number
    assert runner.recorder.saved == (7, dict(epoch=0, iter=7))
    assert f'Stopped by {signal.Signals(number).name}. Iteration 7 is saved' in caplog.text


def test_a_signal_that_comes_twice_is_one(stop, runner):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        iteration(stop, runner, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert caught.value.code == 143
    assert runner.recorder.saved[0] == 7


def test_a_validation_is_left_and_what_is_saved_already_is_not_saved_again(stop, runner):
    stop.after_val_iter(runner, 0)
    runner.recorder.last_ckpt = 'run/iter_6.pth'
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit):
        stop.after_val_iter(runner, 1)
    assert runner.recorder.saved is None


def test_a_copy_of_the_model_in_validation_is_not_saved(stop, runner):
    runner._train_loop = SimpleNamespace(_model='the one in training')  # AsyncReplicaLoop
    os.kill(os.getpid(), signal.SIGTERM)
    stop.after_val_iter(runner, 0)
    assert runner.recorder.saved is None
    with pytest.raises(SystemExit):
        stop.after_train_iter(runner, 1)


def test_the_signals_are_given_back(runner):
    before = [signal.getsignal(number) for number in SIGNALS]
    hook = StopSignalHook()
    hook.before_train(runner)
    assert [signal.getsignal(number) for number in SIGNALS] != before
    hook.after_train(runner)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_dead_worker_is_reported_between_steps(runner, stop):
    """In a step it would leave weights half updated."""

    def dead(number, frame):
        raise RuntimeError('DataLoader worker (pid 5) is killed by signal: Killed. ')

    stop._of_pytorch = dead
    signal.signal(signal.SIGCHLD, stop._on_child)
    with pytest.raises(RuntimeError, match='pid 5'):
        os.kill(os.getpid(), signal.SIGCHLD)
    with pytest.raises(SystemExit) as caught:
        iteration(stop, runner, lambda: os.kill(os.getpid(), signal.SIGCHLD))
    assert caught.value.code == 75
    assert runner.recorder.saved[0] == 7


def test_a_run_that_saves_by_epoch_says_that_nothing_is_saved(stop, runner, caplog):
    runner.hooks = [CheckpointHook(by_epoch=True)]
    with pytest.raises(SystemExit):
        iteration(stop, runner, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert 'Nothing was saved: that takes a CheckpointHook with by_epoch=False.' in caplog.text


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
