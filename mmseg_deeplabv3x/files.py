"""Files that are whole or not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def write_file(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file aside and rename it, so that nobody ever finds half of it.

    Args:
        path: The file; one that is there is replaced.
        content: Text is written as UTF-8.
    """
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Where to write a file that takes its name at the end, and is removed after an error.

    Its folder is made where there is none.

    Args:
        path: The file; one that is there is replaced.

    Yields:
        A hidden name beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Where to write a folder that takes its name at the end, and is removed after an error.

    Args:
        path: The folder; one that is there is replaced.

    Yields:
        An empty folder on the same disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as aside:
        new = Path(aside, 'new')
        new.mkdir()
        yield new
        if path.exists() and any(path.iterdir()):
            os.replace(path, Path(aside, 'old'))
        os.replace(new, path)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove what killed processes had written aside in a folder."""
    for path in Path(folder).glob('.*.tmp'):
        if re.fullmatch(r'\..+\.\d+\.tmp', path.name):
            path.unlink(missing_ok=True)
