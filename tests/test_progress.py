"""On a terminal one line is redrawn; in a log there is one every ten seconds."""

import io
import re
from contextlib import redirect_stdout
from unittest import mock

import pytest

from mmseg_deeplabv3x import progress as module
from mmseg_deeplabv3x.progress import Progress, track


@pytest.fixture
def clock(monkeypatch):
    """Seconds pass only when told to."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(function):
    """What a function writes on a terminal of 40 columns."""
    with mock.patch.dict('os.environ', COLUMNS='40'), redirect_stdout(Terminal()) as stdout:
        function()
    return stdout.getvalue()


def test_a_log_has_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    for _ in track(range(720), 'Drawing'):
        clock.now += 1 / 16  # 45 s in all
    assert capsys.readouterr().out.splitlines() == [
        'Drawing: 160 of 720, 0:00:35 left',
        'Drawing: 320 of 720, 0:00:25 left',
        'Drawing: 480 of 720, 0:00:15 left',
        'Drawing: 640 of 720, 0:00:05 left',
        'Drawing: 720 of 720, took 0:00:45',
    ]


def test_a_terminal_has_one_line_that_is_redrawn(clock):
    def draw():
        for _ in track(range(100), 'Drawing'):
            clock.now += 1 / 16

    written = on_terminal(draw)
    assert written.count('\n') == 1 and written.endswith('\n')
    assert 40 <= len(re.findall(r'\rDrawing: [^\r\n]+\x1b\[K', written)) <= 60
    assert 'Drawing: 100 of 100, took 0:00:06' in written


def test_a_line_longer_than_the_terminal_does_not_wrap():
    written = on_terminal(lambda: list(track(range(7), 'a' * 100)))
    lines = re.findall(r'\r([^\r\n]+)\x1b\[K', written)
    assert lines and all(len(line) < 40 for line in lines) and '7 of 7' in lines[-1]


def test_bytes_of_a_download_that_goes_on(clock, capsys):
    with Progress('x.zip', 3000, done=1000, show=lambda size: f'{size // 1000} kB') as progress:
        clock.now += 10
        progress.advance(1000)
    first, last = capsys.readouterr().out.splitlines()
    # the rest takes as long as the part that came now, not the part of the last time
    assert first == 'x.zip: 2 kB of 3 kB, 0:00:10 left' and last.startswith('x.zip: 2 kB of 3 kB')


def test_nothing_is_shown_of_nothing(capsys):
    assert not [*track([], 'Reading')] and not [*track(iter(()), 'Reading', 0)]
    assert not capsys.readouterr().out


def test_a_total_that_is_not_known(clock, capsys):
    for _ in track(iter('abc'), 'Reading'):
        clock.now += 6
    assert capsys.readouterr().out.splitlines() == [
        'Reading: 2',
        'Reading: 3, took 0:00:18',
    ]


def test_an_error_starts_on_a_line_of_its_own(clock):
    def fail():
        with pytest.raises(KeyError), Progress('Reading', 3) as progress:
            clock.now += 1
            progress.advance()
            raise KeyError

    assert on_terminal(fail) == '\rReading: 1 of 3, 0:00:02 left\x1b[K\n'


def test_a_log_claims_no_end_after_an_error(capsys):
    with pytest.raises(KeyError), Progress('Reading', 3):
        raise KeyError
    assert capsys.readouterr().out == ''
