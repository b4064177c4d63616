from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.hooks import LoggerHook

from mmseg_deeplabv3x.engine.hooks import progress_logger_hook
from mmseg_deeplabv3x.engine.hooks.progress_logger_hook import ProgressLoggerHook


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress_logger_hook.time, 'perf_counter', lambda: clock.now)
    return clock


@pytest.fixture
def run(clock, monkeypatch):
    """Logs a test of images that come in batches of the given sizes and seconds."""
    monkeypatch.setattr(
        LoggerHook,
        'after_test_epoch',
        lambda self, runner, metrics: runner.logger.info(f'result {metrics}'),
    )

    def run(images, batches):
        lines = []
        runner = SimpleNamespace(
            test_dataloader=SimpleNamespace(dataset=range(images)),
            logger=SimpleNamespace(info=lines.append),
        )
        hook = ProgressLoggerHook(interval=1)
        hook.before_test_epoch(runner)
        for i, (size, seconds) in enumerate(batches):
            clock.now += seconds
            hook.after_test_iter(runner, i, outputs=[None] * size)
        hook.after_test_epoch(runner, dict(mIoU=50))
        return lines

    return run


def test_a_slow_test_tells_progress_and_time_left(run):
    lines = run(101, [(1, 6.0)] * 101)
    assert lines[0] == 'Images(test) [  2/101]  eta: 0:09:54  6.000 s per image'
    assert lines[1] == 'Images(test) [  4/101]  eta: 0:09:42  6.000 s per image'
    assert len(lines) == 50 + 2
    assert lines[-2] == '101 images in 606.0 s: 6.000 s per image, 0.17 images/s'
    assert lines[-1] == "result {'mIoU': 50}"


def test_a_quick_test_tells_its_time_at_the_end(run):
    summary, result = run(8, [(1, 0.25)] * 8)
    assert summary == '8 images in 2.0 s: 0.250 s per image, 4.00 images/s'


def test_time_is_that_of_an_image_not_of_a_batch(run):
    lines = run(8, [(4, 10.0), (4, 10.0)])
    assert lines[0] == 'Images(test) [4/8]  eta: 0:00:10  2.500 s per image'
    assert lines[-2].startswith('8 images in 20.0 s: 2.500 s per image')


def test_the_images_of_all_processes_are_counted_once(run, monkeypatch):
    monkeypatch.setattr(progress_logger_hook, 'get_world_size', lambda: 2)
    lines = run(5, [(1, 10.0)] * 3)  # the sixth is a repetition
    assert [line[:18] for line in lines[:3]] == [f'Images(test) [{n}/5]' for n in (2, 4, 5)]
    assert lines[-2].startswith('5 images in 30.0 s: 6.000 s per image')
