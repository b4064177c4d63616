"""How far a long job is: one line redrawn on a terminal, a line every ten seconds in a log."""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

REDRAW_SECONDS = 0.1
LOG_SECONDS = 10


class Progress:
    """Shows on stdout how much is done and how long the rest takes. A context manager.

    ``total`` is None where nobody knows it, ``done`` what was done before, such as the bytes of a
    download that goes on, and ``show`` turns a number of steps into text.
    """

    def __init__(
        self, title: str, total: int | None = None, done: int = 0, show: Callable[[int], str] = str
    ):
        self.title, self.total, self.show = title, total, show
        self.done = self._first = done
        self._redraws = sys.stdout.isatty()
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, error, *_) -> None:
        if error is None:
            self._write(f'{self._state()}, took {_duration(time.monotonic() - self._started)}')
        if self._redraws:  # what follows, such as an error, gets a line of its own
            print()

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done, and show it if it is time."""
        self.done += steps
        now = time.monotonic()
        if now - self._shown < (REDRAW_SECONDS if self._redraws else LOG_SECONDS):
            return
        self._shown = now
        line = self._state()
        if self.total and self._first < self.done < self.total:
            left = (now - self._started) * (self.total - self.done) / (self.done - self._first)
            line += f', {_duration(left)} left'
        self._write(line)

    def _state(self) -> str:
        total = f' of {self.show(self.total)}' if self.total is not None else ''
        return f'{self.title}: {self.show(self.done)}{total}'

    def _write(self, line: str) -> None:
        if self._redraws:  # a line that wraps could not be overwritten
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{line[-width:]}\033[K', end='', flush=True)
        else:
            print(line, flush=True)


def track(items: Iterable, title: str, total: int | None = None) -> Iterator:
    """Pass items on and show how many are done; without items nothing is shown."""
    if total is None and hasattr(items, '__len__'):
        total = len(items)
    if total == 0:
        return
    with Progress(title, total) as progress:
        for item in items:
            yield item
            progress.advance()


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
