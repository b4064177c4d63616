"""The holder's side: its replicas, also those that it starts itself, and what it counts."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from .flat import FlatState
from .link import ConnectionLost, Link, connect

HUNG_SECONDS = 60.0  # a replica that is silent for longer is not waited for any more
LAST_SECONDS = 30.0  # what a replica has, at the end, to bring its last batch to its end
GRACE_SECONDS = 10.0  # what a process has until it is killed


class Account:
    """Batches that are still to come, and the staleness of the steps taken.

    Args:
        start: All batches from this one of the endless sequence on are to come, and
        left: these before it.
        steps: Number of steps by staleness.
        dropped: Gradients that were too old.
    """

    def __init__(
        self, start: int, left: Iterable[int] = (), steps: Mapping | None = None, dropped: int = 0
    ):
        self.start, self.left = start, set(left)
        self.steps, self.dropped = Counter(steps), dropped

    @classmethod
    def saved_in(cls, meta: Mapping, size: int, logger: logging.Logger) -> 'Account | None':
        """That of a checkpoint, for batches of ``size`` images; None if it has none.

        Batches of another size begin at the first that holds no image which was dealt out.
        """
        if saved := dict(meta.get('async_replicas') or {}):
            was = saved.pop('batch_size', size)
            if was != size:
                dealt, left = saved['start'] * was, len(saved['left']) * was
                saved.update(start=-(-dealt // size), left=())
                logger.warning(
                    f'Batches are of {size} images, and were of {was}: {dealt} images were dealt '
                    f'out, and the data goes on at image {saved["start"] * size}. Of the former, '
                    f'{left} had not arrived and are left out.'
                )
            return cls(**saved)
        seen = meta.get('exact_resume', {}).get('seen')  # of a synchronous training
        return cls(-(-seen // size)) if seen else None

    def state(self) -> dict:
        """The arguments that make an equal one."""
        return dict(vars(self), left=sorted(self.left), steps=dict(self.steps))

    def done(self, batch: int) -> None:
        """Its gradient was taken, or dropped."""
        self.left.update(range(self.start, batch))
        self.left.discard(batch)
        self.start = max(self.start, batch + 1)

    def summary(self) -> str:
        """The staleness in one line."""
        mean = sum(age * count for age, count in self.steps.items()) / max(1, self.steps.total())
        shown = ', '.join(f'{age}: {self.steps[age]}' for age in sorted(self.steps))
        return (
            f'Staleness: mean {mean:.2f}, most {max(self.steps, default=0)}; steps by staleness: '
            f'{shown}; gradients dropped: {self.dropped}.'
        )


@dataclass(eq=False)
class Replica:
    """What the holder knows of a replica."""

    number: int  # from 0, in the order in which they came
    name: str  # for messages: machine and process
    flat: Tensor  # its weights on the way out, its gradient on the way in
    buffers: Tensor  # the same of its buffers, and
    pulled: Tensor | None = None  # these as they went out
    version: int = 0  # the step after which its weights went out
    # what came with its gradient: 'batch' (its number), 'images' (paths), 'outputs' (losses) and
    # 'missing' (places of parameters without a gradient)
    head: dict = field(default_factory=dict)
    since: float | None = None  # when its weights went out; None while it computes nothing
    hung: bool = False  # silent for too long
    go_on: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class Holder:
    """Lets replicas in, at any time, and moves weights and gradients in a thread for each.

    ``replicas`` are those that are connected, by number.

    Args:
        port: Where to let them in; 0 takes a free one.
        state: Of the model.
        dtype: In which gradients travel.
        welcome: What a replica is told that comes in.
        refuses: From settings to the reason to turn their replica away; '' if it may come in.
        logger: For who comes and goes.

    Raises:
        ValueError: If the port is taken.
    """

    def __init__(
        self, port: int, state: FlatState, dtype: torch.dtype, welcome: dict, refuses, logger
    ):
        try:
            self._store = dist.TCPStore('localhost', port, is_master=True, wait_for_workers=False)
        except dist.DistError as error:
            raise ValueError(f'Replicas cannot be let in at port {port}: {error}') from error
        self.port, self.replicas = self._store.port, {}
        self._state, self._dtype, self._welcome = state, dtype, welcome
        self._refuses, self._logger = refuses, logger
        self._events, self._closed, self._links = queue.SimpleQueue(), threading.Event(), []
        threading.Thread(target=self._let_in, daemon=True).start()

    def next_event(self, seconds: float) -> tuple[str, Replica] | None:
        """Wait for what happens next: 'joined', 'gradient' or 'gone', and who; None if nothing."""
        now = time.monotonic()
        # what they have sent in the meantime, while the holder was busy, comes first
        for replica in self.replicas.values() if self._events.empty() else ():
            if replica.since and now - replica.since > HUNG_SECONDS and not replica.hung:
                replica.hung = True
                silent = f'{replica.name} has said nothing for {HUNG_SECONDS:g} s'
                self._logger.warning(f'{silent}; the others go on.')
        try:
            event, replica = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event == 'joined':
            self.replicas[replica.number] = replica
            self._logger.info(f'{replica.name} has joined; replicas: {len(self.replicas)}.')
        elif event == 'gone':
            self.replicas.pop(replica.number, None)
            left = f'replicas left: {len(self.replicas)}'
            self._logger.warning(f'{replica.name} is gone, and the batches it had taken; {left}.')
        replica.since, replica.hung = None, False
        return event, replica

    def answer(self, replica: Replica, version: int) -> None:
        """Let a replica have its ``flat`` and ``buffers``; this returns at once."""
        replica.version, replica.since = version, time.monotonic()
        replica.go_on.put(True)

    def close(self) -> None:
        """Tell all replicas that it is over; one that is hung is not waited for."""
        self._closed.set()
        while not self._events.empty():  # who has just joined is told as well
            self.next_event(0.0)
        ends = time.monotonic() + LAST_SECONDS
        for replica in self.replicas.values():
            replica.go_on.put(False)
        for replica in self.replicas.values():
            replica.thread.join(0 if replica.hung else max(0, ends - time.monotonic()))

    def part(self) -> None:
        """Let the threads of replicas that have ended end: in Python's own end, one would abort."""
        for link in self._links:
            link.watcher.join(0.5)

    def _let_in(self) -> None:
        waiting, known = [], 0
        while not self._closed.wait(0.1):
            count = self._store.add('replicas', 0)
            waiting, known = [*waiting, *range(known, count)], count
            for number in [n for n in waiting if self._store.check([f'join/{n}'])]:
                waiting.remove(number)
                asks = json.loads(self._store.get(f'join/{number}'))
                name = f'Replica {number} ({asks["where"]})'
                refused = self._refuses(asks['settings'])
                if refused:
                    self._logger.warning(f'{name} is turned away: {refused}')
                told = dict(self._welcome, refused=refused)
                self._store.set(f'answer/{number}', json.dumps(told))
                if refused:
                    continue
                replica = Replica(number, name, *self._state.empty())
                replica.thread = threading.Thread(
                    target=self._serve, args=[replica, asks['address']], daemon=True
                )
                replica.thread.start()

    def _serve(self, replica: Replica, address: str) -> None:
        gradient = replica.flat.to(self._dtype)  # itself, in float32
        try:
            store = connect(f'localhost:{self.port}')
            link = Link(store, f'link/{replica.number}', 0, address)
        except (RuntimeError, ValueError) as error:
            why = f'it knows this machine as {address}. PyTorch says: {error}'
            self._logger.warning(f'{replica.name} does not join: {why}')
            return
        self._links.append(link)
        self._events.put(('joined', replica))
        if self._closed.is_set():  # it came as all was told that it is over
            replica.go_on.put(False)
        try:
            while replica.go_on.get():
                link.send_object(True)
                link.send(replica.flat, replica.buffers)
                replica.head = link.receive_object()
                link.receive(gradient, replica.buffers)
                replica.flat.copy_(gradient)
                self._events.put(('gradient', replica))
            link.send_object(False)
        except (ConnectionLost, RuntimeError, ValueError):
            self._events.put(('gone', replica))


class ReplicaProcesses:
    """Processes with this one's command line, in sessions of their own: Ctrl-C is for the holder.

    Args:
        count: How many.
        environment: What makes a replica of a process; each also gets its ``ASYNC_INDEX``.
        logger: For those that end too early.
    """

    def __init__(self, count: int, environment: dict[str, str], logger: logging.Logger):
        threads = str(max(1, (os.cpu_count() or 1) // max(1, count)))
        environment = {'OMP_NUM_THREADS': threads, **os.environ, **environment}
        command = [sys.executable, *sys.orig_argv[1:]]
        alone = dict(stdin=subprocess.DEVNULL, start_new_session=True)
        self._logger, self._faults = logger, 0
        self._running = [
            subprocess.Popen(command, env={**environment, 'ASYNC_INDEX': str(index)}, **alone)
            for index in range(count)
        ]

    def check(self, connected: int) -> None:
        """Look who has ended.

        Raises:
            ValueError: If none is connected or will be: the last ones ended by faults of their own.
        """
        for process in [p for p in self._running if p.poll() is not None]:
            self._running.remove(process)
            self._faults += process.returncode not in (0, -signal.SIGKILL, -signal.SIGTERM)
            ended = f'The replica of process {process.pid} ended'
            self._logger.warning(f'{ended} with status {process.returncode}.')
            if not self._running and not connected and not self._faults:
                self._logger.warning('No replica is left; the training waits for others to join.')
        if self._faults and not self._running and not connected:
            raise ValueError('No replica is left; what the last ones said stands above.')

    def end(self) -> None:
        """Wait for those that are left; one that does not end is killed."""
        ends = time.monotonic() + GRACE_SECONDS
        for process in self._running:
            try:
                process.wait(max(0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
