"""The loop as the holder, in this process; the test decides when which replica pushes what.

The programs as a whole: tests/tools/test_async.py.
"""

import re
import socket
import threading
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import BaseLoop, Runner

from mmseg_deeplabv3x.engine.loops import async_replica_loop, holder
from mmseg_deeplabv3x.engine.loops.flat import FlatState
from mmseg_deeplabv3x.engine.loops.link import connect
from mmseg_deeplabv3x.engine.loops.replica import join, settings_of

_LOOP = dict(type='AsyncReplicaLoop', max_iters=8, replicas=0)


@pytest.fixture
def runner(tiny_config, tmp_path, request, monkeypatch):
    """Builder of runners whose replicas join from this test."""

    monkeypatch.setattr(holder, 'LAST_SECONDS', 0.1)  # the scripts leave without a word

    def build(changes=None, **loop):
        name = re.sub(r'\W+', '_', request.node.name)
        with socket.socket() as free:
            free.bind(('localhost', 0))
            port = free.getsockname()[1]
        settings = {
            'train_cfg': dict(dict(_LOOP, port=port), **loop),
            'val_cfg': None,
            'val_dataloader': None,
            'val_evaluator': None,
            'custom_hooks': [dict(type='FiniteStepHook'), dict(type='ThroughputHook')],
            'optim_wrapper.optimizer': dict(type='SGD', lr=1.0, momentum=0.0),
            'param_scheduler': None,
            'work_dir': str(tmp_path),
            **(changes or {}),
        }
        return Runner.from_cfg(Config.fromfile(tiny_config(name, settings)))

    return build


@OPTIM_WRAPPERS.register_module()
class Scaled(OptimWrapper):
    """With a loss scale, as AmpOptimWrapper has it on a GPU."""

    loss_scaler = None


class Scripted:
    """A replica that computes nothing: it pulls and pushes when it is told to."""

    def __init__(self, runner, settings=None):
        store = connect(f'localhost:{runner.cfg.train_cfg.port}')
        self.link, self.told = join(store, settings or settings_of(runner.cfg))
        state = FlatState(runner.model)
        self.weights, self.buffers = state.empty()
        self.batch = 0

    def pull(self):
        """Whether it goes on."""
        if not self.link.receive_object():
            return False
        self.link.receive(self.weights, self.buffers)
        return True

    def push(self, value=0.0, dtype=torch.float32):
        head = dict(batch=self.batch, images=['a.jpg', 'b.jpg'], outputs=dict(loss=1.5), missing=[])
        self.batch += 1
        self.link.send_object(head)
        self.link.send(torch.full_like(self.weights, value).to(dtype), self.buffers)


def train(runner, script):
    """Train, while a thread plays the replicas; raises what either of them raises."""
    errors = []

    def play():
        try:
            script()
        except BaseException as error:
            errors.append(error)
            runner.train_loop.stop_training = True

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    runner.train()
    thread.join(60)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def log(tmp_path):
    (path,) = tmp_path.glob('*/*.log')
    return path.read_text()


def test_each_gradient_is_a_step_and_staleness_is_what_others_did_meanwhile(runner, tmp_path):
    run = runner()
    seen = []

    def script():
        slow, fast = Scripted(run), Scripted(run)
        slow.pull()
        for _ in range(5):
            fast.pull()
            seen.append((fast.weights[0] - slow.weights[0]).item())
            fast.push(0.25)
        fast.pull()  # all five are done
        before = slow.weights[0].item()
        slow.push(0.5)
        slow.pull()
        seen.append(slow.weights[0].item() - before)
        for _ in range(2):
            fast.push()
            fast.pull()

    train(run, script)
    assert seen == pytest.approx([0, -0.25, -0.5, -0.75, -1, -1.75], abs=1e-6)
    # the fast one's weights were from before the slow one's step: 1, then 0
    assert 'Staleness: mean 0.75, most 5; steps by staleness: 0: 6, 1: 1, 5: 1;' in log(tmp_path)


def test_a_gradient_beyond_max_staleness_is_dropped(runner, tmp_path):
    run = runner(max_staleness=3)

    def script():
        slow, fast = Scripted(run), Scripted(run)
        slow.pull()
        for _ in range(5):
            fast.pull()
            fast.push()
        fast.pull()
        slow.push(100.0)
        assert slow.pull(), 'it gets new weights'
        assert slow.weights.abs().max() < 50
        for _ in range(3):
            slow.push()
            slow.pull()

    train(run, script)
    assert 'a gradient 5 steps old is dropped, 1 in all.' in log(tmp_path)
    assert 'most 0; steps by staleness: 0: 8; gradients dropped: 1.' in log(tmp_path)


def test_a_gradient_waits_until_the_slow_replica_is_in_the_bound(runner, tmp_path):
    run = runner(max_staleness=2, stale='wait')

    def script():
        slow, fast = Scripted(run), Scripted(run)
        slow.pull()
        for _ in range(2):
            fast.pull()
            fast.push()
        fast.pull()
        fast.push()  # its step would be the third since the slow one pulled
        waits = threading.Thread(target=fast.pull)
        waits.start()
        waits.join(1.5)
        assert waits.is_alive()
        slow.push()
        slow.pull()
        waits.join(30)
        assert not waits.is_alive()
        for _ in range(2):
            slow.push()
            slow.pull()
            fast.push()
            fast.pull()

    train(run, script)
    assert 'most 2;' in log(tmp_path) and 'gradients dropped: 0.' in log(tmp_path)


def test_a_gradient_that_waits_is_dealt_out_again_after_a_checkpoint(runner, tmp_path):
    run = runner(max_staleness=1, stale='wait', max_iters=3)

    def script():
        slow, fast = Scripted(run), Scripted(run)
        slow.pull()
        for _ in range(2):
            fast.pull()
            fast.push()
        ends = time.monotonic() + 60
        while not run.train_loop._arrived:  # the second, whose step would be too many for the slow
            assert time.monotonic() < ends
            time.sleep(0.01)
        slow.batch = 2
        slow.push()
        slow.pull()

    train(run, script)
    meta = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['meta']['async_replicas']
    assert (meta['start'], meta['left']) == (3, [1])


def test_a_hung_replica_is_not_waited_for(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(holder, 'HUNG_SECONDS', 0.5)
    run = runner(max_staleness=1, stale='wait')

    def script():
        hung, other = Scripted(run), Scripted(run)
        hung.pull()
        for _ in range(8):
            other.pull()
            other.push()

    train(run, script)
    assert 'has said nothing for 0.5 s; the others go on.' in log(tmp_path)
    assert 'steps by staleness: 0: 8;' in log(tmp_path)


def test_gradients_that_are_not_finite_are_refused_with_the_replica_named(runner, tmp_path):
    run = runner()
    weights = []

    def script():
        replica = Scripted(run)
        for value in (0.0, float('nan'), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0):
            replica.pull()
            weights.append(replica.weights.clone())
            replica.push(value)

    train(run, script)
    assert all(torch.equal(weights[0], later) for later in weights)
    name = r'Replica 0 \(.*, process \d+\); images: a.jpg, b.jpg'
    assert re.search(rf'Step skipped, 1 in a row.* are not finite; {name}', log(tmp_path))
    assert re.search(r'img/s: \d', log(tmp_path))


def test_bfloat16_and_the_learning_rate_by_staleness(runner):
    run = runner(gradient_dtype='bfloat16', lr_by_staleness=True)
    steps = []

    def script():
        slow, fast = Scripted(run), Scripted(run)
        slow.pull()
        for _ in range(4):
            fast.pull()
            fast.push(0.0, torch.bfloat16)
        fast.pull()
        before = slow.weights[0].item()
        slow.push(1 / 3, torch.bfloat16)
        slow.pull()
        steps.append(before - slow.weights[0].item())
        for _ in range(3):
            slow.push(0.0, torch.bfloat16)
            slow.pull()

    train(run, script)
    assert steps == pytest.approx([torch.tensor(1 / 3).bfloat16().item() / 4], abs=1e-7)
    assert run.optim_wrapper.get_lr()['lr'] == [1.0]


def test_a_replica_of_another_config_is_turned_away(runner, tmp_path):
    run = runner()

    def script():
        other = dict(settings_of(run.cfg), **{'model.decode_head.channels': '8'})
        with pytest.raises(ValueError, match='turns .* away: its model.decode_head.channels is 8,'):
            Scripted(run, other)
        replica = Scripted(run)
        while replica.pull():
            replica.push()

    train(run, script)
    assert "is turned away: its model.decode_head.channels is 8, the holder's is 16." in log(
        tmp_path
    )


def play(run, batches):
    """Train with one replica that pushes these batches; what it was told to begin with."""
    told = []

    def script():
        replica = Scripted(run)
        told.extend((replica.told['start'], replica.told['left']))
        for replica.batch in batches:
            replica.pull()
            replica.push()
        replica.pull()

    train(run, script)
    return tuple(told)


def test_what_was_left_at_a_checkpoint_is_dealt_out_after_it(runner, tmp_path):
    told = [play(runner(), [0, 1, 2, 3, 5, 6, 9, 8])]
    again = runner({'load_from': str(tmp_path / 'iter_8.pth'), 'resume': True}, max_iters=10)
    told.append(play(again, [4, 7]))
    assert told == [(0, []), (10, [4, 7])]


def test_with_another_batch_size_no_image_is_dealt_out_twice(runner, tmp_path):
    told = [play(runner(), [0, 1, 2, 3, 5, 6, 9, 8])]
    changes = {'load_from': str(tmp_path / 'iter_8.pth'), 'resume': True}
    again = runner({**changes, 'train_dataloader.batch_size': 8}, max_iters=10)
    told.append(play(again, [3, 4]))
    assert told == [(0, []), (3, [])]
    logs = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'Batches are of 8 images, and were of 2: 20 images were dealt out, and the data' in logs
    assert 'goes on at image 24. Of the former, 4 had not arrived and are left out.' in logs


def test_a_synchronous_training_goes_on_at_its_images(runner, tiny_config, tmp_path):
    """Also where the first thing is a validation that was cut short, and its result is saved."""
    stock = Config.fromfile(tiny_config('of_validation'))
    changes = {name: stock[name] for name in ('val_cfg', 'val_dataloader', 'val_evaluator')}
    changes['custom_hooks'] = [dict(type='ExactResumeHook')]
    loop = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
    runner({**changes, 'train_cfg': loop}).train()
    changes['default_hooks.checkpoint.save_best'] = 'mIoU'
    changes |= {'load_from': str(tmp_path / 'iter_4.pth'), 'resume': True}
    run = runner({**changes, 'train_dataloader.batch_size': 4}, max_iters=6, val_interval=4)
    told = []

    def script():
        replica = Scripted(run)
        told.append((replica.told['start'], replica.told['left']))
        while replica.pull():
            replica.push()

    train(run, script)
    assert told == [(2, [])] and list(tmp_path.glob('best_mIoU_iter_4.pth'))


@pytest.mark.parametrize('how, expected', [('mean', 2.0), ('first', 1.0)])
def test_whose_running_statistics_the_model_gets(runner, how, expected):
    run = runner(running_statistics=how)

    def script():
        replicas = Scripted(run), Scripted(run)
        for replica, value in zip(replicas, (1.0, 3.0)):
            replica.pull()
            replica.buffers.fill_(value)
        for _ in range(4):
            for replica in replicas:
                replica.push()
                replica.pull()

    train(run, script)
    means = [m.running_mean for m in run.model.modules() if hasattr(m, 'running_mean')]
    assert means and all((mean == expected).all() for mean in means)


class Validation(BaseLoop):
    """Of one image; the first until so many steps were taken meanwhile; keeps what it saw."""

    def __init__(self, runner, steps):
        self._runner, self.seen, self.dataloader = runner, [], [None]
        self._until = 4 + steps

    def run(self):
        loop, model = self.runner.train_loop, self.runner.model
        before, trained, ends = weights_of(model), loop._model, time.monotonic() + 30
        self.seen.append((loop._iter, model is trained))
        while self.seen == [(4, False)] and loop._steps < self._until:
            assert time.monotonic() < ends
            self.runner.call_hook('after_val_iter', batch_idx=0)
        assert torch.equal(weights_of(model), before) and model is self.runner.model
        if len(self.seen) == 1:
            assert not torch.equal(weights_of(trained), before)


def weights_of(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize('steps', [1, 4])  # 4: up to the next validation
@pytest.mark.parametrize('max_iters', [8, 12])
def test_a_validation_is_of_the_models_copy_and_steps_go_on(runner, steps, max_iters):
    run = runner(val_interval=4, max_iters=max_iters)
    validation = run._val_loop = Validation(run, steps)

    def script():
        replica = Scripted(run)
        while replica.pull():
            replica.push(0.25)

    train(run, script)
    assert validation.seen == [(i, False) for i in range(4, max_iters + 1, 4)]


def test_a_shorter_interval_holds_from_the_step_on_that_it_begins_at(runner):
    run = runner(val_interval=4, max_iters=10, dynamic_intervals=[(6, 2)])
    validation = run._val_loop = Validation(run, 2)

    def script():
        replica = Scripted(run)
        while replica.pull():
            replica.push(0.25)

    train(run, script)
    assert validation.seen == [(i, False) for i in (4, 6, 8, 10)]


@pytest.mark.parametrize(
    ('loop', 'changes', 'message'),
    [
        (dict(stale='wait', replicas=4, max_staleness=2), {}, 'at least 3 for 4 replicas'),
        ({}, {'optim_wrapper.type': 'Scaled'}, 'takes OptimWrapper or, .* is Scaled'),
        (dict(stale='skip'), {}, "train_cfg.stale must be 'drop' or 'wait', but is 'skip'"),
        (dict(max_staleness=-1), {}, 'max_staleness must be at least 0'),
        (dict(gradient_dtype='int8'), {}, "gradient_dtype must be 'float32' or 'bfloat16'"),
        (dict(running_statistics='own'), {}, "must be 'shared' or 'mean' or 'first'"),
        ({}, {'train_dataloader.sampler.type': 'DefaultSampler'}, 'but is DefaultSampler'),
        ({}, {'optim_wrapper.accumulative_counts': 2}, 'must be 1, but is 2'),
    ],
)
def test_what_it_cannot_do_is_refused(runner, loop, changes, message):
    with pytest.raises(ValueError, match=message):
        runner(changes, **loop).train()


def test_processes_that_torchrun_started_are_refused(runner, monkeypatch):
    monkeypatch.setattr(async_replica_loop, 'get_world_size', lambda: 2)
    with pytest.raises(ValueError, match='use tools/async_train.sh'):
        runner().train()
