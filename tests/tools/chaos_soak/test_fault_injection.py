from __future__ import annotations

import pytest
from chaos_soak.fault_plan import GARBAGE, SAVING, SIGTERM, STARTING, TRAINING, TRUNCATED, Fault
from chaos_soak.training_process import ChaosError


def planned(end, iteration=0, delay=0.0, disk=None, damage=None):
    return Fault(end, iteration, delay, disk, damage, 0.4)


KILL = planned(TRAINING, 25)


def test_every_kind_of_fault_is_survived_and_its_cost_is_known(soak):
    for one in (
        planned(SAVING, 25, damage=TRUNCATED),
        planned(STARTING, delay=0.03),
        planned(SIGTERM, 34),
        planned(TRAINING, 63, disk=0.5, damage=GARBAGE),
        planned(TRAINING, 66, disk=0.0),
    ):
        soak.inject(one)
    soak.finish(print)
    assert soak.reached == 90
    assert soak.half_written >= 1
    assert [(outcome.fault, outcome.kill, outcome.survived) for outcome in soak.outcomes] == [
        ('newest checkpoint truncated before the resume', True, True),
        ('`kill -9` while starting', True, True),
        ('SIGTERM', False, True),
        ('disk full in the middle of a checkpoint', False, True),
        ('garbage in the newest checkpoint before the resume', True, True),
        ('disk full to the last byte', False, True),
        ('`kill -9` in training', True, True),
    ]
    lost = [outcome.iterations for outcome in soak.outcomes]
    # 30 was being written and 20 truncated
    assert 20 <= lost[0] <= 22 and lost[1:4] == [0, 0, None] and lost[5] is None
    assert all(
        outcome.seconds > 0.02 for outcome in soak.outcomes if outcome.iterations is not None
    )


@pytest.mark.parametrize(
    'fault, plan, message',
    [
        ('starts afresh', [KILL, KILL], 'went on with iteration 1, .* is of iteration 20'),
        ('saves nothing at SIGTERM', [planned(SIGTERM, 25)], r'after iteration 2\d, .* 20\.'),
        ('silent on a full disk', [planned(TRAINING, 30, disk=0.0)], 'byte: no warning'),
        ('keeps all', [], r'Left over in .*: iter_10\.pth, iter_20\.pth, '),
        ('fails', [KILL], 'something broke\nThe training ended with exit code 1'),
        ('fails', [], 'something broke\nThe training failed with exit code 1'),
    ],
)
def test_what_goes_wrong_is_found_and_said(soak, monkeypatch, fault, plan, message):
    monkeypatch.setenv('FAULT', fault)
    with pytest.raises(ChaosError, match=message):
        for one in plan:
            soak.inject(one)
        soak.finish(print)
    assert not soak.outcomes or not soak.outcomes[-1].survived
