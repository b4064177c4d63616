"""What the measurements share."""

import time
from collections.abc import Callable, Sequence
from statistics import median


def cpu_ms(function: Callable[[], object]) -> float:
    """CPU time of one call, in milliseconds."""
    start = time.process_time()
    function()
    return (time.process_time() - start) * 1e3


def spread(values: Sequence[float], form: str) -> str:
    """Write 'median (least to most)' of some numbers, each in a format such as '.1f'."""
    return f'{median(values):{form}} ({min(values):{form}} to {max(values):{form}})'
