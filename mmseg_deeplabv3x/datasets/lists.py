"""Lists of image names, one name a line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def read_split(path: str | os.PathLike) -> list[str]:
    """Read the names of a list.

    Args:
        path: Text file with one image name without suffix a line; blank lines do not count.

    Returns:
        The names in the order of the file.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is empty, holds a name twice or something that is no name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no list of images {path}.')
    try:
        lines = path.read_text('utf-8').split('\n')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text file of image names.') from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'{path} lists no image.')
    for name in names:
        is_name = name == os.path.basename(name) and name not in ('.', '..') and len(name) < 256
        if not is_name or not name.isprintable() or len(name.split()) > 1:
            raise ValueError(f'{path} holds {name[:50]!r}, which is no name of an image.')
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f'{path} holds {name!r} {count} times.')
    return names


def write_split(path: Path, names: Iterable[str]) -> None:
    """Write names, one a line."""
    path.write_text(''.join(f'{name}\n' for name in names), 'utf-8')


def first_few(names: Iterable[str], shown: int = 3) -> str:
    """The first names and how many more there are, for messages."""
    names = list(names)
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return ', '.join(names[:shown]) + more
