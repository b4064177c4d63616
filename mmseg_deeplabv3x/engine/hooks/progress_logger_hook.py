"""Progress of a test, and the time that an image takes."""

import time
from datetime import timedelta

from mmengine.dist import get_world_size
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

SECONDS = 10  # between two lines of progress


@HOOKS.register_module()
class ProgressLoggerHook(LoggerHook):
    """mmengine's ``LoggerHook``, which in a test logs by the clock and sums up the time.

    The stock hook logs each 50th batch. Where an image takes seconds, as large ones do and those
    with many views, the log then is silent for minutes, and 101 images are two lines. This one logs
    every 10 seconds, counts images in place of batches, and says at the end what an image took,
    all of the test's work included: reading, network, counting and, if asked for, drawing.

    Args:
        **kwargs: As of mmengine's ``LoggerHook``; ``interval`` is of no use in a test.
    """

    def before_test_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self._images = 0
        self._start = self._logged = time.perf_counter()

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Count the images; log progress, time left and time per image if it is time to."""
        total = len(runner.test_dataloader.dataset)
        # of several processes, each has as many; the last batches are filled up with repetitions
        self._images = min(self._images + len(outputs) * get_world_size(), total)
        now = time.perf_counter()
        self._seconds = now - self._start
        if now - self._logged < SECONDS:
            return
        self._logged = now
        each = self._seconds / self._images
        left = timedelta(seconds=round(each * (total - self._images)))
        count = f'{self._images:{len(str(total))}}/{total}'
        runner.logger.info(f'Images(test) [{count}]  eta: {left}  {each:.3f} s per image')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log what an image took, then the result as the stock hook does."""
        images, seconds = self._images, self._seconds
        each = f'{seconds / images:.3f} s per image, {images / seconds:.2f} images/s'
        runner.logger.info(f'{images} images in {seconds:.1f} s: {each}')
        super().after_test_epoch(runner, metrics)
