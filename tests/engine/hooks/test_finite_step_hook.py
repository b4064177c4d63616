import logging

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_deeplabv3x.engine.hooks import FiniteStepHook


class Training:
    """What the hook needs of a runner, and iterations on inputs of one's choice."""

    def __init__(self, wrapper=OptimWrapper, max_in_a_row=3, hook=True, fused=False, **kwargs):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1, fused=fused
        )
        self.optim_wrapper = wrapper(optimizer=optimizer, **kwargs)
        self.message_hub = MessageHub.get_instance('finite_step')
        self.logger = logging.getLogger('finite_step')
        self.iter = 0
        self.hook = FiniteStepHook(max_in_a_row) if hook else Hook()
        self.hook.before_train(self)

    def step(self, value=1.0, image='a.png'):
        inputs = torch.arange(8.0).reshape(2, 1, 2, 2)
        inputs[0, 0, 0, 0] = value
        loss = self.model(inputs).square().mean()
        self.optim_wrapper.update_params(loss)
        batch = dict(data_samples=[dict(img_path=image)])
        self.hook.after_train_iter(self, self.iter, batch, dict(loss=loss))
        self.iter += 1

    def state(self):
        tensors = [*self.model.parameters(), *self.model.buffers()]
        momentum = [s['momentum_buffer'] for s in self.optim_wrapper.optimizer.state.values()]
        return [t.clone() for t in (*tensors, *momentum) if t.is_floating_point()]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_a_skipped_step_leaves_everything_as_it_was(bad, caplog):
    training = Training()
    training.step()
    before = training.state()
    training.step(bad, 'bad.png')
    assert same(before, training.state())
    assert 'Step skipped, 1 in a row, 1 in all' in caplog.text
    assert 'at iteration 2' in caplog.text
    assert 'bad.png' in caplog.text
    training.step()
    assert not same(before, training.state())


def test_good_steps_are_those_without_the_hook():
    one, other = Training(), Training(hook=False)
    for value in (1.0, 2.0, 3.0):
        one.step(value)
        other.step(value)
    assert same(one.state(), other.state())


def test_after_several_in_a_row_the_training_ends():
    training = Training(max_in_a_row=2)
    for value in (float('nan'), 1.0, float('nan')):
        training.step(value)
    training.message_hub.update_info('last_ckpt', 'iter_2.pth')
    with pytest.raises(FloatingPointError) as caught:
        training.step(float('nan'), 'last.png')
    message = str(caught.value)
    assert message.startswith('2 steps in a row were skipped: at iteration 4 the loss, nan, ')
    assert 'images: last.png.' in message
    assert message.endswith('The last checkpoint: iter_2.pth.')


def test_one_bad_part_spoils_an_accumulated_step_and_its_statistics():
    training = Training(accumulative_counts=2)
    training.step()
    training.step()
    before = training.state()
    training.step(float('nan'))
    training.step()
    assert same(before, training.state())
    training.step()
    training.step()
    assert not same(before, training.state())


@pytest.mark.parametrize('fused', [False, True])
def test_amp_finds_its_loss_scale_with_any_optimizer(amp_on_cpu, fused):
    """A fused optimizer takes the step itself that the scaler else leaves out."""
    training = Training(amp_on_cpu, max_in_a_row=1, fused=fused, loss_scale=dict(init_scale=4.0))
    training.step()
    before = training.state()
    for scale in (2.0, 1.0):
        training.step(float('inf'))
        assert same(before, training.state())
        assert training.optim_wrapper.loss_scaler.get_scale() == scale
    training.step()
    assert not same(before, training.state())
    with pytest.raises(FloatingPointError):
        training.step(float('inf'))


def test_weights_that_are_not_finite_are_never_saved():
    training = Training()
    checkpoint = dict(meta=dict(iter=8), state_dict=training.model.state_dict())
    training.hook.before_save_checkpoint(training, checkpoint)
    training.model[1].running_var[0] = float('inf')
    with pytest.raises(FloatingPointError, match=r'^1\.running_var is not .* iteration 8'):
        training.hook.before_save_checkpoint(training, checkpoint)


@pytest.mark.parametrize('value', [0, 1.5, '3'])
def test_bad_arguments(value):
    with pytest.raises(ValueError, match='max_in_a_row must be a whole number'):
        FiniteStepHook(max_in_a_row=value)
