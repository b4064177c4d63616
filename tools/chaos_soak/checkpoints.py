"""The checkpoints of a training: which one it must go on from, and damage to them."""

import os
import random
from pathlib import Path

from .fault_plan import EMPTY_RECORD, GARBAGE, TRUNCATED

# Longer than any gap between the records of a checkpoint: some record or its name is hit.
_GARBAGE_BYTES = 4096


class Checkpoints:
    """The checkpoints in a work dir, some of which this class itself has damaged.

    Args:
        folder: The work dir.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._damaged = {}  # file: time of the damage; one that is written anew has another

    def half_written(self) -> list[Path]:
        """Files that a training has begun to write."""
        return list(self.folder.glob('.*.pth.*.tmp'))

    def expected(self) -> int:
        """The iteration that ``--resume`` must go on from, 0 if it must start afresh.

        That is the checkpoint which ``last_checkpoint`` names unless it was damaged, else the
        newest that was not. A file that has its final name is taken to be whole.
        """
        intact = self._intact()
        record = self.folder / 'last_checkpoint'
        named = Path(record.read_text()).name if record.is_file() else ''
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
            os.truncate(self.folder / 'last_checkpoint', 0)
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
        return [(int(path.stem[5:]), path) for path in self.folder.glob('iter_*.pth')]
