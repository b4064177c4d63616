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


class ChildProcess:
    """A command in a process group of its own; what it prints goes into a file.

    It is killed, with the processes that it started, at the end of the ``with`` block at the
    latest: a child that outlives its parent would train on unseen. In the block Ctrl-C, SIGTERM
    and a closed terminal interrupt nothing at once; they end this process by the next ``read``.

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
        self._signals = []

    def __enter__(self):
        # an exception here, right after the start, would leave the child behind
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._handlers.items():
            if handler != signal.SIG_IGN:  # as SIGHUP under nohup
                signal.signal(number, lambda number, _: self._signals.append(number))
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
            self._restore_handlers()
            raise
        self.pid = self._process.pid
        os.set_blocking(self._process.stdout.fileno(), False)
        return self

    def __exit__(self, error, *_) -> None:
        self.kill()
        self._process.stdout.close()
        self._restore_handlers()
        if error is None:
            self._end_if_told()

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
        self._end_if_told()
        return lines

    def terminate(self) -> None:
        """Ask it to end; wait a minute, or until this process is told to end once more."""
        self._process.terminate()
        ends, told = time.monotonic() + _GRACE_SECONDS, len(self._signals)
        while self.status() is None and time.monotonic() < ends and len(self._signals) == told:
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

    def _end_if_told(self) -> None:
        if self._signals:
            number = self._signals[0]
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def run_command(command: Sequence[str | os.PathLike], log: Path, show: bool = True) -> None:
    """Run a command to its end.

    Where SIGTERM, a closed terminal, Ctrl-C or an error ends this process, it ends the command
    first, which has a minute to save what it has.

    Args:
        command: Program and arguments.
        log: File that all output is appended to.
        show: Whether to show how far it is, by mmengine's lines of training and evaluation.

    Raises:
        CommandError: If it fails; with its last lines.
    """
    with ChildProcess(command, log) as child, _Shown() as shown:
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
