import copy

import pytest
import torch
from torch import nn

from mmseg_deeplabv3x.engine.loops.flat import FlatState, RunningStatistics


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1), nn.Linear(2, 2)
    )
    layers.to(memory_format=torch.channels_last)
    layers[1].running_mean.uniform_()
    layers[1].num_batches_tracked.fill_(7)
    return layers


def test_state_travels_exactly(model):
    other = copy.deepcopy(model)
    for tensor in [*other.parameters(), *other.buffers()]:
        tensor.data.zero_()
    mine, its = FlatState(model), FlatState(other)
    for flat in mine.empty():
        its.unpack(mine.pack(flat))
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_gradients_travel_exactly_and_missing_ones_stay_missing(model):
    other = copy.deepcopy(model)
    model[:3](torch.randn(2, 3, 8, 8)).square().sum().backward()
    gradients = [p.grad for p in model.parameters()]
    mine, its = FlatState(model), FlatState(other)
    flat, _ = mine.empty()
    its.unpack_gradients(flat, mine.pack_gradients(flat))
    assert all(p.grad is None for p in model.parameters())
    for sent, parameter in zip(gradients, other.parameters()):
        assert (parameter.grad is None) if sent is None else torch.equal(parameter.grad, sent)
    assert gradients[-1] is None and gradients[0].abs().max() > 0


def test_a_model_without_buffers():
    state = FlatState(nn.Linear(2, 2))
    _, buffers = state.empty()
    state.unpack(state.pack(buffers))
    assert len(buffers) == 1, 'gloo sends no empty tensor'


def random_statistics():
    return torch.randn(50).double()


def test_shared_statistics_are_those_of_a_single_replica_to_the_bit():
    pulled, pushed = random_statistics(), random_statistics() * 1e-20
    assert torch.equal(RunningStatistics('shared').merge(0, pulled, pulled, pushed), pushed)


def test_shared_statistics_take_the_change_of_each_replica():
    start = random_statistics()
    changes = [0.1 * random_statistics() for _ in range(3)]
    statistics, model = RunningStatistics('shared'), start
    for replica, change in enumerate(changes):  # all pulled before any pushed
        assert torch.equal(statistics.of(replica, start), start)
        model = statistics.merge(replica, model, start, start + change)
    torch.testing.assert_close(model, start + sum(changes))


def test_own_statistics_and_their_mean():
    statistics, model = RunningStatistics('mean'), random_statistics()
    own = [random_statistics() for _ in range(3)]
    for replica, pushed in enumerate(own):
        model = statistics.merge(replica, model, model, pushed)
    torch.testing.assert_close(model, sum(own) / 3)
    assert torch.equal(statistics.of(1, model), own[1])
    statistics.forget(1)
    model = statistics.merge(0, model, own[0], own[0])
    torch.testing.assert_close(model, (own[0] + own[2]) / 2)


def test_the_first_replicas_statistics_until_it_is_gone():
    statistics, model = RunningStatistics('first'), random_statistics()
    own = [random_statistics() for _ in range(2)]
    for replica in (1, 0):
        model = statistics.merge(replica, model, model, own[replica])
    assert torch.equal(statistics.merge(1, model, own[1], own[1]), own[0])
    statistics.forget(0)
    assert torch.equal(statistics.merge(1, model, own[1], own[1]), own[1])


@pytest.mark.parametrize('how', ['shared', 'mean', 'first'])
def test_frozen_statistics_stay_and_broken_ones_are_refused(how):
    statistics, model = RunningStatistics(how), random_statistics()
    for replica in range(7):
        assert torch.equal(statistics.merge(replica, model, model, model.clone()), model)
    broken = torch.full_like(model, float('nan'))
    assert torch.equal(statistics.merge(0, model, model, broken), model)
    assert torch.equal(statistics.of(0, model), model)
