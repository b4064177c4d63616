"""Work on many files, with the progress shown."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..progress import track


def map_files(function: Callable, tasks: Sequence, title: str, workers: int | None = None) -> list:
    """Apply a function to every task; shows the progress and the time left.

    Threads, not processes: decoding, drawing and waiting for a disk happen outside the interpreter
    lock, and nothing has to be forked beside a running torch or imported once more.

    Args:
        function: Takes one task. The first error ends the work and is raised.
        tasks: What to work on.
        title: What is done, for the line that shows the progress.
        workers: Threads; by default one for each core.

    Returns:
        The results in the order of the tasks.
    """
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return list(track(pool.map(function, tasks), title, len(tasks)))
