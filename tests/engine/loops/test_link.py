import multiprocessing
import os
import signal
import socket
import threading
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from mmseg_deeplabv3x.engine.loops import link as module
from mmseg_deeplabv3x.engine.loops.link import ConnectionLost, Link, addresses, connect


@pytest.fixture
def store():
    return dist.TCPStore('localhost', 0, is_master=True, wait_for_workers=False)


def both_ends(store, address='127.0.0.1'):
    """A link within this process."""
    ends = {}

    def meet(rank):
        ends[rank] = Link(connect(f'localhost:{store.port}'), 'pair', rank, address)

    threads = [threading.Thread(target=meet, args=[rank]) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends[0], ends[1]


def test_tensors_and_objects_arrive_in_order(store):
    one, other = both_ends(store)
    sent = [torch.randn(5), torch.randn(3).double(), torch.randn(4).bfloat16()]

    def send():
        one.send(*sent)
        one.send_object(dict(batch=3, images=['ä.jpg'], outputs=dict(loss=0.1)))

    threading.Thread(target=send).start()
    received = [torch.empty_like(tensor) for tensor in sent]
    other.receive(*received)
    assert all(map(torch.equal, sent, received))
    assert other.receive_object() == dict(batch=3, images=['ä.jpg'], outputs=dict(loss=0.1))


def _echo(port):
    link, tensor = (
        Link(connect(f'localhost:{port}'), 'pair', 1, '127.0.0.1'),
        torch.zeros(2_000_000),
    )
    while True:
        link.receive(tensor)
        link.send(tensor)


@pytest.mark.parametrize('delay', [0.0, 0.003, 0.006, 0.009])
def test_a_killed_partner_is_noticed_in_the_middle_of_a_transfer_too(store, delay):
    """Without a receive that is always there, gloo may wait for ever."""
    process = multiprocessing.get_context('fork').Process(target=_echo, args=[store.port])
    process.start()
    link, tensor = (
        Link(connect(f'localhost:{store.port}'), 'pair', 0, '127.0.0.1'),
        torch.zeros(2_000_000),
    )

    assert link.watcher.is_alive()

    def kill():
        time.sleep(0.2 + delay)
        os.kill(process.pid, signal.SIGKILL)

    threading.Thread(target=kill).start()
    lost = threading.Event()

    def go_on():
        with pytest.raises(ConnectionLost):
            while True:
                link.send(tensor)
                link.receive(tensor)
        lost.set()

    threading.Thread(target=go_on, daemon=True).start()
    assert lost.wait(60)
    process.join()


def test_an_address_is_host_and_port():
    with pytest.raises(ValueError, match="named as HOST:PORT, but got '29500'"):
        connect('29500')


def test_nobody_answers(monkeypatch):
    def refuse(*args, **kwargs):
        raise dist.DistNetworkError('refused')

    monkeypatch.setattr(dist, 'TCPStore', refuse)
    with pytest.raises(ValueError, match='No holder of an AsyncReplicaLoop answers at a:1.'):
        connect('a:1')


@pytest.mark.parametrize('host', ['localhost', '127.0.0.1'])
def test_both_addresses_of_a_way(host):
    own, its = addresses(host, 29500)
    assert own == its and own in ('127.0.0.1', '::1')


def test_the_other_address_is_the_one_that_was_asked_for():
    """Not what the other machine's name stands for."""
    assert addresses('127.0.0.2', 29500)[1] == '127.0.0.2'


def test_no_way(monkeypatch):
    def unreachable(*args):
        raise OSError('Network is unreachable')

    monkeypatch.setattr(socket.socket, 'connect', unreachable)
    with pytest.raises(ValueError, match='no way from this machine to 192.0.2.1, port 5'):
        addresses('192.0.2.1', 5)


ELSEWHERE = '192.0.2.1'  # of no machine (RFC 5737)


def test_it_listens_at_its_address(store):
    with pytest.raises(RuntimeError, match=ELSEWHERE):
        Link(connect(f'localhost:{store.port}'), 'pair', 0, ELSEWHERE)


@pytest.mark.skipif(
    'lo' not in [name for _, name in socket.if_nameindex()], reason='the loopback has another name'
)
@pytest.mark.parametrize('names', ['lo', 'lo,lo'])
def test_interfaces_that_the_user_names_win(store, monkeypatch, names):
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', names)
    one, other = both_ends(store, ELSEWHERE)
    threading.Thread(target=one.send, args=[torch.ones(3)]).start()
    assert torch.equal(other.receive(torch.zeros(3)), torch.ones(3))
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', 'lo,nosuch0')
    with pytest.raises(RuntimeError, match='nosuch0'):
        Link(connect(f'localhost:{store.port}'), 'another', 0, '127.0.0.1')


def test_an_end_that_does_not_come_is_waited_for_a_while(store, monkeypatch):
    monkeypatch.setattr(module, 'MEETING', timedelta(seconds=1))
    with pytest.raises(RuntimeError, match='1000ms'):
        Link(connect(f'localhost:{store.port}'), 'pair', 1, '127.0.0.1')


def test_once_they_have_met_silence_may_last_longer(store, monkeypatch):
    monkeypatch.setattr(module, 'MEETING', timedelta(seconds=5))
    one, other = both_ends(store)
    threading.Timer(6.5, one.send, args=[torch.ones(3)]).start()
    assert torch.equal(other.receive(torch.zeros(3)), torch.ones(3))
