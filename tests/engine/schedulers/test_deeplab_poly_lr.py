from __future__ import annotations

import copy

import pytest
import torch
from mmengine.optim import LinearLR, OptimWrapper, PolyLR
from mmengine.runner import Runner
from torch import nn

from mmseg_deeplabv3x.engine.schedulers import DeepLabPolyLR

MAX_ITER = 30000


def sgd(*rates):
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def rates_of(optimizer):
    return [group['lr'] for group in optimizer.param_groups]


def follow(optimizer, schedulers, iterations):
    """The rate of every iteration, for each parameter group."""
    rates = []
    for _ in range(iterations):
        rates.append(rates_of(optimizer))
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


def poly(base, iteration, max_iter=MAX_ITER, power=0.9):
    return base * (1 - iteration / max_iter) ** power


def close(value, expected):
    return abs(value - expected) <= 1e-12 * expected


def test_every_iteration_of_the_papers_schedule():
    optimizer = sgd(0.007, 0.014)
    rates = follow(optimizer, [DeepLabPolyLR(optimizer, by_epoch=False, end=MAX_ITER)], MAX_ITER)
    for iteration, (weights, biases) in enumerate(rates):
        assert close(weights, poly(0.007, iteration))
        assert close(biases, poly(0.014, iteration))
    assert rates[-1][0] > 0


def test_the_stock_schedule_has_nothing_left_for_its_last_iteration():
    """Why there is one of our own; if this fails, mmengine was mended and ours can go."""
    optimizer = sgd(0.007)
    stock = PolyLR(optimizer, power=0.9, end=100, by_epoch=False)
    assert follow(optimizer, [stock], 100)[-1] == [0]


def test_a_resumed_schedule_goes_on_exactly():
    optimizer = sgd(0.007)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, end=MAX_ITER)
    follow(optimizer, [scheduler], 12345)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))

    optimizer = sgd(0.007)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, end=MAX_ITER)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    rates = follow(optimizer, [scheduler], MAX_ITER - 12345)
    for iteration, (rate,) in enumerate(rates, 12345):
        assert close(rate, poly(0.007, iteration))


@pytest.mark.parametrize('done', [40, 100], ids=['broken off', 'finished'])
def test_a_run_resumed_with_more_iterations_follows_the_longer_curve(done):
    optimizer = sgd(0.007)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, end=100)
    follow(optimizer, [scheduler], done)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))

    optimizer = sgd(0.007)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, end=200)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    rates = follow(optimizer, [scheduler], 200 - done)
    expected = [poly(0.007, iteration, 200) for iteration in range(done, 200)]
    assert [rate for (rate,) in rates] == pytest.approx(expected, rel=1e-12, abs=0)


def test_after_a_warm_up_the_curve_starts_at_the_base_rate():
    optimizer = sgd(0.007)
    warm_up = LinearLR(optimizer, start_factor=0.1, begin=0, end=10, by_epoch=False)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, begin=10, end=110)
    rates = [rate for (rate,) in follow(optimizer, [warm_up, scheduler], 110)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] == pytest.approx(0.0007)
    expected = [poly(0.007, iteration, 100) for iteration in range(100)]
    assert rates[10:] == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize('eta_min', [0.0, 1e-4])
@pytest.mark.parametrize('warm_up_first', [True, False])
@pytest.mark.parametrize('stop', [None, 3, 60])
def test_beside_a_schedule_that_overlaps_both_multiply(eta_min, warm_up_first, stop):
    def build(optimizer, end):
        kinds = [
            lambda: LinearLR(optimizer, start_factor=0.1, begin=0, end=10, by_epoch=False),
            lambda: DeepLabPolyLR(optimizer, by_epoch=False, end=end, eta_min=eta_min),
        ]
        return [kind() for kind in (kinds if warm_up_first else kinds[::-1])]

    optimizer = sgd(0.1)
    schedulers = build(optimizer, 100)
    rates = [rate for (rate,) in follow(optimizer, schedulers, stop or 100)]
    if stop:
        states = copy.deepcopy([part.state_dict() for part in (optimizer, *schedulers)])
        optimizer = sgd(0.1)
        schedulers = build(optimizer, 100)
        for part, state in zip((optimizer, *schedulers), states):
            part.load_state_dict(state)
        rates += [rate for (rate,) in follow(optimizer, schedulers, 100 - stop)]
    stock_optimizer = sgd(0.1)
    order = [LinearLR, PolyLR] if warm_up_first else [PolyLR, LinearLR]
    arguments = {
        LinearLR: dict(start_factor=0.1, begin=0, end=10),
        PolyLR: dict(power=0.9, end=101, eta_min=eta_min),  # `end` of the same curve
    }
    stock = [kind(stock_optimizer, by_epoch=False, **arguments[kind]) for kind in order]
    expected = [rate for (rate,) in follow(stock_optimizer, stock, 100)]
    assert rates == pytest.approx(expected, rel=1e-12, abs=0)
    if not eta_min:
        factors = [min(0.1 + 0.9 * iteration / 9, 1) for iteration in range(100)]
        formula = [poly(0.1 * factor, i, 100) for i, factor in enumerate(factors)]
        assert rates == pytest.approx(formula, rel=1e-12, abs=0)


def test_eta_min_and_power():
    optimizer = sgd(1.0)
    scheduler = DeepLabPolyLR(optimizer, by_epoch=False, end=10, power=2.0, eta_min=0.2)
    rates = [rate for (rate,) in follow(optimizer, [scheduler], 10)]
    assert rates == pytest.approx([0.2 + 0.8 * poly(1.0, i, 10, 2.0) for i in range(10)])


def test_the_config_must_say_by_epoch():
    with pytest.raises(ValueError, match='DeepLabPolyLR needs by_epoch=False in its config'):
        DeepLabPolyLR(sgd(0.007), end=100)


class Regression(nn.Module):
    """What a runner needs of a model, and a record of the rates."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.rates = []

    def train_step(self, data, optim_wrapper):
        self.rates.append(optim_wrapper.get_lr()['lr'][0])
        loss = self.linear(torch.ones(1, 1)).sum()
        optim_wrapper.update_params(loss)
        return dict(loss=loss)


def test_under_a_runner_max_iters_alone_sets_the_length(tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # it asks compilers
    model = Regression()
    Runner(
        model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=list(range(4)), batch_size=2, sampler=dict(type='InfiniteSampler')
        ),
        train_cfg=dict(by_epoch=False, max_iters=7),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.007)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.5, end=2, by_epoch=False),
            dict(type='DeepLabPolyLR', begin=2, by_epoch=False),
        ],
        default_scope='mmseg',
        experiment_name=tmp_path.name,
    ).train()
    assert len(model.rates) == 7
    expected = [poly(0.007, iteration, 5) for iteration in range(5)]
    assert model.rates[2:] == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    'arguments, name',
    [
        (dict(power='a'), 'power'),
        (dict(power=float('nan')), 'power'),
        (dict(power=-1), 'power'),
        (dict(eta_min=None), 'eta_min'),
        (dict(end='9'), 'end'),
        (dict(begin=0.5), 'begin'),
    ],
)
def test_an_argument_that_is_no_number_is_named(arguments, name):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ValueError, match=f'{name} must be a .*number'):
        DeepLabPolyLR(optimizer, by_epoch=False, **arguments)
