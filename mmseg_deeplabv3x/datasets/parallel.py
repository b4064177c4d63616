"""Work on many files, with the progress shown."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..progress import track


def map_files(function: Callable, tasks: Sequence, title: str, workers: int | None = None) -> list:
    """Apply a function to every task, in order; ``title`` stands before the progress shown.

    Threads, by default one for each core, not processes: decoding, drawing and waiting for a disk
    happen outside the interpreter lock, and nothing has to be forked beside a running torch or
    imported once more. The first error ends the work and is raised.
    """
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return list(track(pool.map(function, tasks), title, len(tasks)))
