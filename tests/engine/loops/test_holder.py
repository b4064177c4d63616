"""Who is let in, started and counted; events and transfers: test_async_replica_loop.py."""

import json
import logging
import os
import sys
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmseg_deeplabv3x.engine.loops import holder as module
from mmseg_deeplabv3x.engine.loops.flat import FlatState
from mmseg_deeplabv3x.engine.loops.holder import Account, Holder, ReplicaProcesses
from mmseg_deeplabv3x.engine.loops.link import connect
from mmseg_deeplabv3x.engine.loops.replica import join


def hold(port=0):
    state, logger = FlatState(nn.Linear(2, 2)), logging.getLogger('test_holder')
    return Holder(port, state, torch.float32, dict(seed=5), lambda settings: '', logger)


def test_a_port_that_is_taken_is_named():
    taken = hold()
    with pytest.raises(ValueError, match=f'cannot be let in at port {taken.port}: '):
        hold(taken.port)
    taken.close()


def test_one_that_died_before_it_asked_keeps_nobody_out(monkeypatch):
    monkeypatch.setattr(module, 'LAST_SECONDS', 0.1)
    holder = hold()
    store = connect(f'localhost:{holder.port}')
    store.add('replicas', 1)
    _, told = join(store, {})
    assert told['seed'] == 5
    event, replica = holder.next_event(30.0)
    assert (event, replica.number, list(holder.replicas)) == ('joined', 1, [1])
    holder.close()


def test_at_the_end_one_that_has_just_joined_is_told(monkeypatch):
    monkeypatch.setattr(module, 'LAST_SECONDS', 0.1)
    holder = hold()
    link, _ = join(connect(f'localhost:{holder.port}'), {})
    ends = time.monotonic() + 60
    while holder._events.empty():
        assert time.monotonic() < ends
        time.sleep(0.01)
    holder.close()
    assert link.receive_object() is False


class Silent:
    """A thread that waits for a replica which says nothing."""

    def join(self, seconds):
        self.waited = seconds


def replica(holder, number, **state):
    one = module.Replica(number, f'Replica {number}', torch.empty(1), torch.empty(1), **state)
    one.thread = Silent()
    holder.replicas[number] = one
    return one


def test_what_is_there_already_was_not_silence(caplog):
    """The holder itself may have been busy for long."""
    holder = hold()
    late, hung = (replica(holder, n, since=time.monotonic() - 1000) for n in (0, 1))
    holder._events.put(('gradient', late))
    assert holder.next_event(0.0) == ('gradient', late) and not caplog.text
    assert holder.next_event(0.0) is None and hung.hung and not late.hung
    assert caplog.text.count('has said nothing for 60 s') == 1


def test_at_the_end_a_hung_one_is_not_waited_for():
    holder = hold()
    hung, other = replica(holder, 0, hung=True), replica(holder, 1)
    holder.close()
    assert hung.thread.waited == 0 and 25 < other.thread.waited <= module.LAST_SECONDS


def test_one_that_knows_this_machine_by_another_address_is_named(caplog):
    holder = hold()
    store = connect(f'localhost:{holder.port}')
    asks = dict(where='there, process 7', address='192.0.2.1', settings={})
    store.set('join/0', json.dumps(asks))
    store.add('replicas', 1)
    why = 'Replica 0 (there, process 7) does not join: it knows this machine as 192.0.2.1. '
    ends = time.monotonic() + 60
    while why not in caplog.text:
        assert time.monotonic() < ends
        assert holder.next_event(0.1) is None and not holder.replicas
    holder.close()


# ---- the processes


@pytest.fixture
def start(monkeypatch, caplog):
    """Starts replicas that run some lines of Python."""

    def run(code, count=2):
        monkeypatch.setattr(sys, 'orig_argv', ['python', '-c', f'import os, sys, time\n{code}'])
        logger = logging.getLogger('test_children')
        return ReplicaProcesses(count, {'ASYNC_HOLDER': 'here:1'}, logger)

    return run


def test_they_have_the_command_line_and_are_told_apart(start, tmp_path):
    code = f'open({str(tmp_path)!r} + "/" + os.environ["ASYNC_INDEX"], "w").write('
    processes = start(code + 'os.environ["ASYNC_HOLDER"])', count=3)
    wait_for(processes, connected=0)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        '012', 'here:1'
    )


def wait_for(processes, connected):
    ends = time.monotonic() + 60
    while processes._running:
        assert time.monotonic() < ends
        processes.check(connected)
        time.sleep(0.02)


def test_it_is_over_when_all_ended_by_faults_of_their_own(start, caplog):
    with pytest.raises(ValueError, match='No replica is left'):
        wait_for(start('sys.exit(3)'), connected=0)
    assert 'ended with status 3' in caplog.text


def test_others_may_go_on_or_come_after_a_kill(start, caplog):
    wait_for(start('sys.exit(3)'), connected=1)
    wait_for(start('os.kill(os.getpid(), 9)'), connected=0)
    assert caplog.text.count('ended with status -9') == 2


def test_that_nobody_is_left_to_wait_for_is_said(start, caplog):
    wait_for(start('os.kill(os.getpid(), 9)'), connected=0)
    assert caplog.text.count('No replica is left; the training waits for others to join.') == 1
    caplog.clear()
    wait_for(start('os.kill(os.getpid(), 9)'), connected=1)
    assert 'No replica is left' not in caplog.text


def test_a_crash_is_a_fault_of_their_own(start):
    with pytest.raises(ValueError, match='No replica is left; what the last ones said'):
        wait_for(start('os.kill(os.getpid(), 6)'), connected=0)


def test_each_has_its_share_of_the_cores_and_a_session_of_its_own(start, tmp_path, monkeypatch):
    """So that Ctrl-C reaches the holder alone."""
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    code = f'open({str(tmp_path)!r} + "/" + os.environ["ASYNC_INDEX"], "w").write('
    processes = start(code + '" ".join([os.environ["OMP_NUM_THREADS"], str(os.getsid(0))]))')
    pids = {str(process.pid) for process in processes._running}
    wait_for(processes, connected=0)
    threads, sessions = zip(*(path.read_text().split() for path in tmp_path.iterdir()))
    assert set(sessions) == pids
    assert set(threads) == {str(max(1, os.cpu_count() // 2))}


def test_one_that_does_not_end_is_killed(start, monkeypatch):
    monkeypatch.setattr(module, 'GRACE_SECONDS', 0.1)
    processes = start('time.sleep(1000)', count=1)
    (process,) = processes._running
    processes.end()
    assert process.returncode == -9


# ---- the account


@given(st.permutations(range(12)), st.integers(0, 12))
def test_in_whatever_order_batches_arrive_none_is_lost_or_twice(order, count):
    account = Account(0)
    for batch in order[:count]:
        account.done(batch)
    to_come = sorted(account.left) + list(range(account.start, 12))
    assert sorted([*order[:count], *to_come]) == list(range(12))


def test_a_state_makes_an_equal_one():
    account = Account(3, left=[1])
    account.done(7)
    account.steps.update([0, 2, 2])
    account.dropped += 1
    again = Account(**account.state())
    assert vars(again) == vars(account)
    assert again.left == {1, 3, 4, 5, 6} and again.start == 8


def test_the_summary_has_mean_most_histogram_and_dropped():
    account = Account(0, steps={0: 1, 2: 2, 5: 1}, dropped=4)
    assert account.summary() == (
        'Staleness: mean 2.25, most 5; steps by staleness: 0: 1, 2: 2, 5: 1; gradients dropped: 4.'
    )
    assert 'mean 0.00, most 0' in Account(0).summary()
