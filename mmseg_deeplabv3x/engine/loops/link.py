"""How the holder of the weights and one replica meet and talk, on torch.distributed alone."""

import contextlib
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

MEETING = timedelta(minutes=1)  # until both ends of a link have found each other
SILENCE = timedelta(days=30)  # then: a replica may be hung and wake up, a validation may be long


class ConnectionLost(ConnectionError):
    """The process at the other end is gone."""


class Link:
    """A process group of two, through gloo: the holder and one replica.

    A group of all processes breaks with the first of them that dies, and none can join it.
    A transfer that begins in the moment the other end dies may wait for ever; a receive that is
    there already is told. So one is always there, and transfers have a thread of their own.

    Args:
        store: Where the two meet.
        name: The same at both ends, and of no other pair.
        rank: 0 for the holder, 1 for the replica.
        address: Of this machine, at which the other end finds it. gloo itself takes what the host's
            name stands for, on many systems 127.0.1.1, where other machines find nobody.
            ``GLOO_SOCKET_IFNAME`` in the environment, PyTorch's own way to choose interfaces (with
            commas between several), wins.

    Raises:
        RuntimeError: If the two do not find each other, gloo's and PyTorch's own.
    """

    def __init__(self, store: dist.Store, name: str, rank: int, address: str):
        self._other = 1 - rank
        options = dist.ProcessGroupGloo._Options()
        options._timeout = MEETING
        named = os.environ.get('GLOO_SOCKET_IFNAME')
        where = [dict(interface=n) for n in named.split(',')] if named else [dict(hostname=address)]
        options._devices = [dist.ProcessGroupGloo.create_device(**one) for one in where]
        self._group = dist.ProcessGroupGloo(dist.PrefixStore(name, store), rank, 2, options)
        self._transfers, self._ends = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self._transfer, daemon=True).start()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def send(self, *tensors: Tensor) -> None:
        """Send tensors, which are on the CPU, and wait until they are gone."""
        self._wait(self._group.send, tensors)

    def receive(self, *tensors: Tensor) -> Tensor:
        """Fill tensors with what the other end sends; gives the first one."""
        self._wait(self._group.recv, tensors)
        return tensors[0]

    def send_object(self, value) -> None:
        """Send what JSON can express."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        self.send(torch.tensor([len(text)]), text)

    def receive_object(self):
        """Receive what :meth:`send_object` sent."""
        length = self.receive(torch.empty(1, dtype=torch.int64))
        return json.loads(bytes(self.receive(torch.empty(int(length), dtype=torch.uint8)).numpy()))

    def _wait(self, method, tensors: tuple[Tensor, ...]) -> None:
        self._transfers.put((method, tensors))
        error = self._ends.get()
        if error:
            raise ConnectionLost(error)

    def _transfer(self) -> None:
        while True:
            self._ends.put(self._error(*self._transfers.get(), tag=0))

    def _watch(self) -> None:
        self._ends.put(self._error(self._group.recv, [torch.empty(1)], tag=1))

    def _error(self, method: Callable, tensors: Iterable[Tensor], tag: int) -> str:
        try:
            for tensor in tensors:
                method([tensor], self._other, tag).wait(SILENCE)
        except RuntimeError as error:  # gloo has no other
            return str(error)
        return ''


def connect(address: str) -> dist.TCPStore:
    """The store of the holder at 'host:port'.

    Raises:
        ValueError: If nobody answers there for a minute.
    """
    host, _, port = address.rpartition(':')
    if not host or not port.isdigit():
        raise ValueError(f'A holder is named as HOST:PORT, but got {address!r}.')
    try:
        return dist.TCPStore(host, int(port), is_master=False, timeout=timedelta(minutes=1))
    except dist.DistError as error:
        raise ValueError(f'No holder of an AsyncReplicaLoop answers at {address}.') from error


def addresses(host: str, port: int) -> tuple[str, str]:
    """This machine's address on the way to another one, and that one's; nothing is sent.

    Raises:
        ValueError: If there is no way.
    """
    for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as way:
            way.connect(where)
            return way.getsockname()[0], way.getpeername()[0]
    raise ValueError(f'There is no way from this machine to {host}, port {port}.')
