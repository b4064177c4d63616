"""Work on many files, with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mmengine import ProgressBar


def map_files(function: Callable, tasks: Sequence, workers: int | None = None) -> list:
    """Apply a function to every task; shows the progress and the time left.

    Threads, not processes: decoding, drawing and waiting for a disk happen outside the interpreter
    lock, and nothing has to be forked beside a running torch or imported once more.

    Args:
        function: Takes one task. The first error ends the work and is raised.
        tasks: What to work on.
        workers: Threads; by default one for each core.

    Returns:
        The results in the order of the tasks.
    """
    bar = ProgressBar(len(tasks), file=sys.stdout)
    results = []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for result in pool.map(function, tasks):
            results.append(result)
            bar.update()
    bar.file.write('\n')
    return results
