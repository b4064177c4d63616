"""Runs a command in a process of its own, which ends with this one."""

import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mmseg_deeplabv3x.progress import Progress

# mode, done, total, and in a training the loss
PROGRESS = re.compile(
    r'(?:Iter|Epoch|Images)\((\w+)\) +\[ *(\d+)/(\d+)\].*?eta: [\d:]+(?:.*?(loss: \S+))?'
)
# For a command that is told to end while it writes a checkpoint.
_GRACE_SECONDS = 60
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandError(RuntimeError):
    """A command ended with an error."""


class _HeldSignals:
    """What this process was told while any child runs; then the handlers come back."""

    def __init__(self):
        self.numbers, self._children, self._handlers = [], 0, {}

    def hold(self) -> None:
        self._children += 1
        if self._children > 1:
            return
        self.numbers = []
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._handlers.items():
            if handler != signal.SIG_IGN:  # as SIGHUP under nohup
                signal.signal(number, lambda number, _: self.numbers.append(number))

    def release(self) -> list[int]:
        self._children -= 1
        if not self._children:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        return self.numbers


_held = _HeldSignals()


def _end_if(numbers: Sequence[int]) -> None:
    if numbers:
        raise KeyboardInterrupt if numbers[0] == signal.SIGINT else SystemExit(128 + numbers[0])


class ChildProcess:
    """A command in a process group of its own; what it prints goes into a file.

    It is killed, with the processes that it started, at the end of the ``with`` block at the
    latest: a child that outlives its parent would train on unseen. In the block Ctrl-C, SIGTERM
    and a closed terminal interrupt nothing at once; they end this process by the next ``read``,
    of any child where several run.

    Args:
        command: Program and arguments.
        log: File that its output, of both streams, is appended to.
        **environment: Changes to this process's environment.

    Attributes:
        pid: Its id, and that of its group.
        last: The last 15 lines of its output so far.
    """

    def __init__(self, command: Sequence[str | os.PathLike], log: Path, **environment: str):
        self._command, self._environment = list(map(str, command)), environment
        self.log, self.last, self._rest = log, deque(maxlen=15), b''

    def __enter__(self):
        # an exception here, right after the start, would leave the child behind
        _held.hold()
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        except OSError:
            _held.release()
            raise
        self.pid = self._process.pid
        os.set_blocking(self._process.stdout.fileno(), False)
        return self

    def __exit__(self, error, *_) -> None:
        self.kill()
        self._process.stdout.close()
        numbers = _held.release()
        if error is None:
            _end_if(numbers)

    def status(self) -> int | None:
        """Exit code, negative after a signal; None while it runs."""
        return self._process.poll()

    def read(self) -> list[str]:
        """Lines that it printed since the last call, without waiting for any.

        Raises:
            KeyboardInterrupt: If Ctrl-C was pressed since the start.
            SystemExit: If this process was told to end otherwise.
        """
        lines = self._take()
        _end_if(_held.numbers)
        return lines

    def terminate(self) -> None:
        """Ask it to end; wait a minute, or until this process is told to end once more."""
        self._process.terminate()
        ends, told = time.monotonic() + _GRACE_SECONDS, len(_held.numbers)
        while self.status() is None and time.monotonic() < ends and len(_held.numbers) == told:
            self._take()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to its group."""
        if self.status() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._take()

    def _take(self) -> list[str]:
        output = self._process.stdout.read() or b''
        with open(self.log, 'ab') as file:
            file.write(output)
        *lines, self._rest = (self._rest + output).split(b'\n')
        if self._rest and self.status() is not None:
            lines, self._rest = [*lines, self._rest], b''
        lines = [line.decode(errors='replace') for line in lines]
        self.last.extend(lines)
        return lines


def run_command(
    command: Sequence[str | os.PathLike], log: Path, show: bool = True, **environment: str
) -> None:
    """Run a command to its end.

    Where SIGTERM, a closed terminal, Ctrl-C or an error ends this process, it ends the command
    first, which has a minute to save what it has.

    Args:
        command: Program and arguments.
        log: File that all output is appended to.
        show: Whether to show how far it is, by mmengine's lines of training and evaluation.
        **environment: Changes to this process's environment.

    Raises:
        CommandError: If it fails; with its last lines.
    """
    with ChildProcess(command, log, **environment) as child, _Shown() as shown:
        try:
            status = None
            while status is None:
                status = child.status()  # before reading, so that the last lines are read, too
                for match in filter(None, map(PROGRESS.search, child.read())):
                    if show:
                        shown.update(match)
                if status is None:
                    time.sleep(0.05)
        except BaseException:
            child.terminate()
            raise
    if status:
        last = '\n'.join(child.last)
        raise CommandError(f'{last}\nExit code {status}; the whole output is in {log}.')


class _Shown:
    """The progress of a command, one bar after the other: training, validation, training."""

    def __init__(self):
        self._mode, self._bar = None, None

    def __enter__(self) -> '_Shown':
        return self

    def __exit__(self, *error) -> None:
        if self._bar:
            self._bar.__exit__(*error)

    def update(self, match: re.Match) -> None:
        mode, done, total, loss = match.groups()
        if mode != self._mode:
            self.__exit__(None, None, None)
            self._mode, self._bar = mode, Progress('', int(total), done=int(done))
        self._bar.title = f'    {mode}' + (f', {loss}' if loss else '')
        self._bar.advance(int(done) - self._bar.done)
