"""A training that is brought down according to a plan, and started again each time."""

from collections.abc import Callable
from pathlib import Path

from .checkpoints import Checkpoints
from .fault_plan import INTERVAL, SAVING, SIGTERM, STARTING, TRAINING, Fault
from .report import Outcome
from .training_process import ChaosError, TrainingProcess


class FaultInjection:
    """The state of such a training.

    Args:
        start: Starts it, or lets it go on, and returns it.
        checkpoints: Those of the training.
        sample: A checkpoint of the size that it writes.

    Attributes:
        outcomes: Of the faults so far.
        reached: The iteration that the run was at when it ended last.
        half_written: How many kills left the file of a checkpoint half written.
    """

    def __init__(
        self, start: Callable[[], TrainingProcess], checkpoints: Checkpoints, sample: Path
    ) -> None:
        self.outcomes, self.reached, self.half_written = [], 0, 0
        self._start, self._checkpoints, self._sample = start, checkpoints, sample
        self._seconds = {}  # that each iteration took
        self._ended_by = None  # the outcome, still open, of what ended the start before

    def inject(self, planned: Fault) -> None:
        """Start the training and bring it down.

        Raises:
            ChaosError: If it does not go on as it should.
        """
        expected = self._checkpoints.expected()
        with self._start() as training:
            if planned.end == STARTING:
                training.wait_until(lambda: training.age >= planned.delay)
                training.kill()
            else:
                training.wait_until(lambda: training.first)
            self._settle(training, expected)
            if planned.disk is not None:
                self._fill_disk(training, int(planned.disk * self._sample.stat().st_size))
            if planned.end != STARTING:
                self._end(training, planned)
        self.reached = training.done or expected
        self._seconds.update(training.seconds)

        kill = planned.end != SIGTERM
        if planned.end in (TRAINING, SAVING):
            self.half_written += bool(self._checkpoints.half_written())
        fault = f'`kill -9` {planned.end}' if kill else SIGTERM
        if planned.damage and self._checkpoints.damage(planned.damage, planned.chance):
            fault = f'{planned.damage} before the resume'
        self._ended_by = Outcome(fault, kill)
        self.outcomes.append(self._ended_by)

    def finish(self, show: Callable[[int], None]) -> None:
        """Start the training and leave it alone.

        Args:
            show: Called again and again with the iteration that is done.

        Raises:
            ChaosError: If it fails, did not go on from where it should, or leaves files behind that
                the undisturbed one does not.
        """
        expected = self._checkpoints.expected()
        with self._start() as training:
            training.wait_until(lambda: training.first)
            self._settle(training, expected)
            training.finish(show)
        self.reached = training.done
        left = self._checkpoints.names() - Checkpoints(self._sample.parent).names()
        if left:
            raise ChaosError(f'Left over in {self._checkpoints.folder}: {", ".join(sorted(left))}.')

    def _settle(self, training: TrainingProcess, expected: int) -> None:
        """Check where the training went on; only now is known what the fault before has cost."""
        if training.first and training.first != expected + 1:
            raise ChaosError(
                f'The training went on with iteration {training.first}, but the newest checkpoint '
                f'that is not damaged is of iteration {expected}.'
            )
        if self._ended_by is None:
            return
        again = range(expected + 1, self.reached + 1)
        self._ended_by.survived = True
        self._ended_by.iterations = len(again)
        startup = training.startup or training.age
        self._ended_by.seconds = startup + sum(self._seconds.get(i, 0) for i in again)

    def _fill_disk(self, training: TrainingProcess, size: int) -> None:
        full = Outcome(
            f'disk full {"in the middle of a checkpoint" if size else "to the last byte"}'
        )
        self.outcomes.append(full)
        with training.full_disk(size):
            training.wait_until(lambda: training.done > training.first + INTERVAL)
        if not training.unsaved:
            raise ChaosError(
                f'{full.fault}: no warning told that a checkpoint could not be written.'
            )
        full.survived = True

    def _end(self, training: TrainingProcess, planned: Fault) -> None:
        training.wait_until(lambda: training.done >= planned.iteration)
        if planned.end == SAVING:
            training.wait_until(self._checkpoints.half_written, pause=0.001)
        since = training.age
        training.wait_until(lambda: training.age >= since + planned.delay, pause=0.001)
        if planned.end != SIGTERM:
            training.kill()
            return
        training.end_as_slurm()
        if self._checkpoints.expected() != training.done:
            raise ChaosError(
                f'SIGTERM came after iteration {training.done}, but the newest checkpoint is of '
                f'iteration {self._checkpoints.expected()}.'
            )
