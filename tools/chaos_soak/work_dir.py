"""Damage to the checkpoints in a work dir, and which ones are left."""

from __future__ import annotations

import os
import random
from pathlib import Path

from .plan import EMPTY_RECORD, GARBAGE, TRUNCATED

# Longer than any gap between the records of a checkpoint: some record or its name is hit.
_GARBAGE_BYTES = 4096


class WorkDir:
    """A training's work dir.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._damaged = {}  # file: time of the damage; one that is written anew has another

    def half_written(self) -> list[Path]:
        """Files that a training has begun to write."""
        return list(self.path.glob('.*.pth.*.tmp'))

    def expected(self) -> int:
        """The iteration that ``--resume`` must go on from, 0 if it must start afresh.

        That is the checkpoint which ``last_checkpoint`` names unless it was damaged, else the
        newest that was not. A file that has its final name is taken to be whole.
        """
        intact = self._intact()
        record = self.path / 'last_checkpoint'
        named = record.read_text() if record.is_file() else ''
        return intact.get(named, max(intact.values(), default=0))

    def damage(self, kind: str, chance: float) -> bool:
        """Damage the newest checkpoint, or the record of it.

        Args:
            kind: One of the plan's kinds.
            chance: In [0, 1): where.

        Returns:
            False if there is no checkpoint, or the newest one is damaged already.
        """
        _, path = max(self._checkpoints(), default=(0, None))
        if path is None or path.name not in self._intact():
            return False
        if kind == EMPTY_RECORD:
            os.truncate(self.path / 'last_checkpoint', 0)
            return True
        size = path.stat().st_size
        if kind == TRUNCATED:
            os.truncate(path, int(chance * size))
        elif kind == GARBAGE:
            with open(path, 'r+b') as file:
                file.seek(int(chance * (size - _GARBAGE_BYTES)))
                file.write(random.Random(chance).randbytes(_GARBAGE_BYTES))
        self._damaged[path] = path.stat().st_mtime_ns
        return True

    def names(self) -> set[str]:
        """Names of the checkpoints that were not damaged, and of half-written files."""
        return {*self._intact(), *(path.name for path in self.half_written())}

    def _intact(self) -> dict[str, int]:
        """{name: iteration}."""
        return {
            path.name: iteration
            for iteration, path in self._checkpoints()
            if self._damaged.get(path) != path.stat().st_mtime_ns
        }

    def _checkpoints(self) -> list[tuple[int, Path]]:
        return [(int(path.stem[5:]), path) for path in self.path.glob('iter_*.pth')]
