"""Which faults a training meets, and when: all from one seed."""

import random
from dataclasses import dataclass
from itertools import cycle, islice

# How a start of the training ends.
TRAINING, SAVING, STARTING = 'in training', 'while a checkpoint is written', 'while starting'
SIGTERM = 'SIGTERM'
# What then happens to the files it leaves.
TRUNCATED, GARBAGE, EMPTY_RECORD = (
    'newest checkpoint truncated',
    'garbage in the newest checkpoint',
    'last_checkpoint emptied',
)
# Iterations between checkpoints.
INTERVAL = 10

_KILLS = (TRAINING, SAVING, STARTING, TRAINING, SAVING, TRAINING)
_DAMAGES = (TRUNCATED, GARBAGE, EMPTY_RECORD)


@dataclass(frozen=True)
class Fault:
    """A fault: one start of the training, and what brings it down.

    Attributes:
        end: How it ends: ``TRAINING``, ``SAVING``, ``STARTING`` (all three by SIGKILL) or
            ``SIGTERM``.
        iteration: The end comes once this iteration of the run is done; ``STARTING`` waits for
            none.
        delay: Seconds from there, or from when the file of a checkpoint appears, or from the start
            of the process.
        disk: Before that, for more than ``INTERVAL`` iterations, files stop growing at this share
            of a checkpoint's size; 0 is a full disk. None: the disk is never full.
        damage: What happens to the files afterwards, or None.
        chance: In [0, 1): where the damage is done.
    """

    end: str
    iteration: int
    delay: float
    disk: float | None
    damage: str | None
    chance: float


def make_plan(kills: int, iterations: int, seed: int) -> list[Fault]:
    """Deal out the faults; the same arguments give the same plan.

    Args:
        kills: Number of starts that end by ``kill -9``: half of them in training, a third
            while a checkpoint is written, a sixth while starting (of few, the first kinds only).
            For every six there is a SIGTERM and a disk that is full for some time, and every third
            end is followed by damage to a file.
        iterations: Length of the run.
        seed: Chooses order and time.

    Returns:
        One after the other; the start that is left alone is not in it.

    Raises:
        ValueError: If there is no kill, or the run is too short for all of it.
    """
    if kills < 1:
        raise ValueError(f'kills must be at least 1, got {kills}.')
    ends = [*islice(cycle(_KILLS), kills), *[SIGTERM] * (kills // 6)]
    needed = 4 * len(ends) + 2 * INTERVAL * (kills // 6) + 5 * INTERVAL
    if iterations < needed:
        raise ValueError(f'{kills} kills need at least {needed} iterations, got {iterations}.')
    rng = random.Random(seed)
    rng.shuffle(ends)
    count = len(ends)
    damages = _spread(rng, islice(cycle(_DAMAGES), -(-count // 3)), range(count), count)
    running = [i for i, end in enumerate(ends) if end != STARTING]
    shares = [rng.uniform(0.1, 0.9) if i % 2 else 0.0 for i in range(kills // 6)]
    disks = _spread(rng, shares, running, count)
    # from the second checkpoint on, and with time for two more before the end
    when = sorted(rng.sample(range(2 * INTERVAL, iterations - 3 * INTERVAL), count))
    longest = {TRAINING: 0.2, SIGTERM: 0.2, SAVING: 0.008, STARTING: 5.0}
    return [
        Fault(end, iteration, rng.uniform(0, longest[end]), disk, damage, rng.random())
        for end, iteration, disk, damage in zip(ends, when, disks, damages)
    ]


def _spread(rng: random.Random, values, indices, count: int) -> list:
    """A list of ``count`` entries, these values at random ones of ``indices``, None elsewhere."""
    values = list(values)
    result = [None] * count
    for index, value in zip(rng.sample(list(indices), len(values)), values):
        result[index] = value
    return result
