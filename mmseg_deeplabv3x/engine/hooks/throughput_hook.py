"""Images per second, waiting for data, and memory, in the log of a training."""

import sys
from collections import deque
from resource import RUSAGE_SELF, getrusage

from mmengine.device import is_cuda_available
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

# Data is the bottleneck where it takes this much of the time (%) of so many iterations in a row.
# Fewer may be the start of the workers, or a validation: mmengine's data_time has those in it.
SLOW, IN_A_ROW = 30, 50
# ru_maxrss is in KiB, on macOS in bytes
_PER_MIB = 2**20 if sys.platform == 'darwin' else 2**10


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Adds to mmengine's ``time``, ``data_time`` and ``eta`` what a user wants to know of a run.

    - ``img/s``: images per second, of all processes together.
    - ``data_wait``: how much of the time was waiting for data, in %.
    - ``memory``: without a GPU, the most memory that this process had so far, in MiB, without that
      of its data-loading workers. With a GPU, mmengine logs the most that tensors took there.

    They are scalars of the message hub: the log and every backend of the visualizer have them. The
    first two are of the iterations that the log averages ``time`` over
    (``log_processor.window_size``), but never of those before a resume. All are known on the host:
    nothing waits for a GPU.

    Says so once, if the data-loading workers stay too slow.

    The times are those of mmengine's ``IterTimerHook``; without it, only ``memory`` is logged.
    """

    priority = 'NORMAL'  # as IterTimerHook, which comes first; the logger comes later

    def before_train(self, runner: Runner) -> None:
        """Start with an empty window, and without the numbers of a checkpoint."""
        for name in ('memory', 'img/s', 'data_wait'):
            runner.message_hub.log_scalars.pop(f'train/{name}', None)
        self._images = deque(maxlen=runner.log_processor.window_size)
        self._slow, self._said = 0, False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Hand over the numbers of the iterations up to this one."""
        if not is_cuda_available():
            self._log(runner, 'memory', getrusage(RUSAGE_SELF).ru_maxrss / _PER_MIB)
        scalars = runner.message_hub.log_scalars
        if 'train/time' not in scalars:
            return
        self._images.append(len(data_batch['inputs']))
        window = len(self._images)
        seconds = float(scalars['train/time'].mean(window))  # of an iteration
        images = sum(self._images) / window * get_world_size()
        waited = 100 * float(scalars['train/data_time'].mean(window)) / seconds
        self._log(runner, 'img/s', images / seconds)
        self._log(runner, 'data_wait', waited)

        self._slow = self._slow + 1 if waited > SLOW else 0
        if self._slow == IN_A_ROW and not self._said:
            self._said = True
            runner.logger.warning(
                f'Data is the bottleneck: for {IN_A_ROW} iterations, more than {SLOW} % of the '
                'time was waiting for it. Raise train_dataloader.num_workers, now '
                f'{runner.train_dataloader.num_workers}, or see docs/monitoring.md.'
            )

    def _log(self, runner: Runner, name: str, value: float) -> None:
        # The last value alone: a history is copied at each update, 1 ms after 90,000 iterations.
        runner.message_hub.log_scalars.pop(f'train/{name}', None)
        runner.message_hub.update_scalar(f'train/{name}', value)
