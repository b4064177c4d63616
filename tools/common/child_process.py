"""Runs a tool in a process of its own, which ends with this one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

# mode, done/all, time left, and in a training the loss
PROGRESS = re.compile(
    r'(?:Iter|Epoch|Images)\((\w+)\) +\[ *(\d+/\d+)\].*?eta: ([\d:]+)(?:.*?(loss: \S+))?'
)
# For a tool that is told to end while it writes a checkpoint.
_GRACE_SECONDS = 60


def run_child(
    command: Sequence[str], log: Path, show: Callable[[re.Match], None]
) -> tuple[int, str]:
    """Run a command, its output into a file.

    A child outlives a parent that is killed, and would train on unseen. So where SIGTERM, Ctrl-C or
    an error ends this process, it ends the child first.

    Args:
        command: Program and arguments.
        log: File that all output is appended to.
        show: Called with the match of each line of ``PROGRESS``.

    Returns:
        The exit code, and the last 15 lines.
    """
    last = deque(maxlen=15)
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with (
        open(log, 'a') as file,
        exit_on_sigterm(),
        subprocess.Popen(command, text=True, **pipes) as child,
    ):
        try:
            for line in child.stdout:
                file.write(line)
                file.flush()
                last.append(line)
                progress = PROGRESS.search(line)
                if progress:
                    show(progress)
        except BaseException:
            file.write(_end(child))
            raise
    return child.returncode, ''.join(last)


@contextmanager
def exit_on_sigterm():
    """Let SIGTERM end this process as Ctrl-C does, by an exception."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(child: subprocess.Popen) -> str:
    """End a process, and return what it still has to say."""
    child.terminate()
    try:
        return child.communicate(timeout=_GRACE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        return ''
