from __future__ import annotations

from collections import Counter

import pytest
from chaos_soak.fault_plan import (
    EMPTY_RECORD,
    GARBAGE,
    SAVING,
    SIGTERM,
    STARTING,
    TRAINING,
    TRUNCATED,
    make_plan,
)


def test_the_seed_alone_decides():
    assert make_plan(30, 1500, 3) == make_plan(30, 1500, 3)
    assert make_plan(30, 1500, 3) != make_plan(30, 1500, 4)


@pytest.mark.parametrize('seed', range(5))
def test_every_kind_of_fault_has_its_share(seed):
    plan = make_plan(30, 1500, seed)
    ends = Counter(planned.end for planned in plan)
    assert ends == {TRAINING: 15, SAVING: 10, STARTING: 5, SIGTERM: 5}
    damages = Counter(planned.damage for planned in plan)
    assert damages == {None: 23, TRUNCATED: 4, GARBAGE: 4, EMPTY_RECORD: 4}
    disks = [planned.disk for planned in plan if planned.disk is not None]
    assert len(disks) == 5 and disks.count(0) == 3 and max(disks) < 1


@pytest.mark.parametrize('seed', range(5))
def test_faults_come_in_order_when_there_is_something_to_lose_and_to_go_on_with(seed):
    plan = make_plan(12, 152, seed)
    when = [planned.iteration for planned in plan]
    assert when == sorted(when) and when[0] >= 20 and when[-1] < 152 - 30
    assert all(planned.disk is None for planned in plan if planned.end == STARTING)


def test_of_few_kills_one_is_followed_by_a_truncated_checkpoint():
    plan = make_plan(2, 60, 0)
    assert {planned.end for planned in plan} == {TRAINING, SAVING}
    assert {planned.damage for planned in plan} == {TRUNCATED, None}


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match='kills must be at least 1, got 0'):
        make_plan(0, 1500, 0)
    with pytest.raises(ValueError, match='12 kills need at least 146 iterations, got 145'):
        make_plan(12, 145, 0)
