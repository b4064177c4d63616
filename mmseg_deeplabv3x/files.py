"""Files that are whole or not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file, text as UTF-8, aside and rename it, so that nobody ever finds half of it."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Where to write a file that takes its name at the end, and is removed after an error.

    It is a hidden name beside ``path``, whose folder is made where there is none; a file of that
    name is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove what killed processes had written aside in a folder."""
    for path in Path(folder).glob('.*.tmp'):
        if re.fullmatch(r'\..+\.\d+\.tmp', path.name):
            path.unlink(missing_ok=True)
