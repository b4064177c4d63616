from __future__ import annotations

import copy

import pytest
import torch
from chaos_soak.compare import differences


def checkpoint():
    return dict(
        meta=dict(iter=7, time='now'),
        message_hub=dict(loss=1.0),
        state_dict=dict(weight=torch.zeros(3), steps=torch.tensor(4)),
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(2))}, param_groups=[dict(lr=0.1)]),
        param_schedulers=[dict(last_step=6)],
    )


def change_iteration(state):
    state['meta']['iter'] = 8


def change_weight(state):
    state['state_dict']['weight'][1] = -0.0  # equals 0.0, and is another number


def change_kind(state):
    state['state_dict']['steps'] = torch.tensor(4.0)


def change_momentum(state):
    state['optimizer']['state'][0]['momentum_buffer'][0] += 1e-7


def change_rate(state):
    state['optimizer']['param_groups'][0]['lr'] = 0.2


def change_schedule(state):
    state['param_schedulers'].append(dict(last_step=6))


def drop_weight(state):
    del state['state_dict']['weight']


def drop_optimizer(state):
    del state['optimizer']


@pytest.mark.parametrize(
    'change, name',
    [
        (change_iteration, 'iter'),
        (change_weight, 'state_dict.weight'),
        (change_kind, 'state_dict.steps'),
        (change_momentum, 'optimizer.state.0.momentum_buffer'),
        (change_rate, 'optimizer.param_groups.0.lr'),
        (change_schedule, 'param_schedulers.1'),
        (drop_weight, 'state_dict.weight'),
        (drop_optimizer, 'optimizer'),
    ],
)
def test_each_change_is_named_whichever_comes_first(change, name):
    one, other = checkpoint(), checkpoint()
    change(other)
    assert differences(one, other) == differences(other, one) == [name]


def test_copies_at_another_time_are_equal():
    one = checkpoint()
    other = copy.deepcopy(one)
    other['meta']['time'], other['message_hub']['loss'] = 'later', 2.0
    assert differences(one, other) == []
