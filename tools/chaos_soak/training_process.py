"""A training in a process of its own, which is watched and brought down."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.child_process import PROGRESS, ChildProcess

# Far longer than a start takes on a busy machine.
_SILENT_SECONDS = 300
# Slurm's KillWait: SIGKILL follows SIGTERM after so long.
_KILL_WAIT_SECONDS = 30


class ChaosError(RuntimeError):
    """A training did not do what it should."""


class TrainingProcess(ChildProcess):
    """A command that trains. It has one thread and no GPU: only on the CPU are two runs equal.

    Args:
        command: Program and arguments.
        log: File that its output is appended to.

    Attributes:
        first: The first iteration that it told of, 0 if none yet.
        done: The last one.
        seconds: {iteration: seconds since the one before}, from the second one on.
        startup: Seconds from the start to the end of the first iteration, None if none yet.
        unsaved: How many checkpoints it said it could not write.
    """

    def __init__(self, command: Sequence[str | os.PathLike], log: Path):
        self.first = self.done = self.unsaved = 0
        self.seconds, self.startup = {}, None
        self._started = self._heard = self._stepped = time.monotonic()
        super().__init__(command, log, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def wait_until(self, reached: Callable[[], bool], pause: float = 0.02) -> None:
        """Watch it until ``reached()``, looking every ``pause`` seconds.

        Raises:
            ChaosError: If it ends before, or says nothing for five minutes.
        """
        while not reached():
            if self.status() is not None:
                self._fail(f'ended with exit code {self.status()}')
            self._pause(pause)

    def finish(self, show: Callable[[int], None]) -> None:
        """Watch it to its end.

        Args:
            show: Called again and again with the iteration that is done.

        Raises:
            ChaosError: If it fails, or says nothing for five minutes.
        """
        while self.status() is None:
            self._pause(0.02)
            show(self.done)
        self._take()
        if self.status():
            self._fail(f'failed with exit code {self.status()}')

    def end_as_slurm(self) -> None:
        """SIGTERM to the whole group, as Slurm ends a job.

        Raises:
            ChaosError: If it does not save and end with 143 before Slurm would kill it.
        """
        os.killpg(self.pid, signal.SIGTERM)
        ends = time.monotonic() + _KILL_WAIT_SECONDS
        while self.status() is None and time.monotonic() < ends:
            self._pause(0.02)
        self._take()
        if self.status() != 128 + signal.SIGTERM:
            self._fail(
                f'did not end with exit code 143 within {_KILL_WAIT_SECONDS} s of SIGTERM: '
                f'{self.status()}'
            )

    @contextmanager
    def full_disk(self, size: int) -> Iterator[None]:
        """No file of the training's can grow beyond a size: writing fails with EFBIG.

        A small file system of its own would need privileges; this needs Linux. To a program it is
        as ENOSPC: some bytes are written, then there is an error.

        Args:
            size: Bytes; with 0, nothing can be written at all.
        """
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            if self.status() is None:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def _take(self) -> list[str]:
        lines = super()._take()
        if lines:
            self._heard = time.monotonic()
        for line in lines:
            self._understand(line)
        return lines

    def _pause(self, seconds: float) -> None:
        self.read()
        if time.monotonic() - self._heard > _SILENT_SECONDS:
            self._fail(f'has said nothing for {_SILENT_SECONDS} s')
        time.sleep(seconds)

    def _understand(self, line: str) -> None:
        self.unsaved += 'A checkpoint could not be written' in line
        progress = PROGRESS.search(line)
        if not progress or progress[1] != 'train':
            return
        iteration = int(progress[2])
        if iteration == self.done:  # a log that cannot be written repeats its lines on stderr
            return
        self.done = iteration
        if not self.first:
            self.first, self.startup = self.done, self.age
        else:
            self.seconds[self.done] = self._heard - self._stepped
        self._stepped = self._heard

    def _fail(self, what: str) -> None:
        self._take()
        last = '\n'.join(self.last)
        raise ChaosError(f'{last}\nThe training {what}; its whole output is in {self.log}.')
