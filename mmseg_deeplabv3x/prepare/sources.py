"""Finds the files of a dataset in the folders and archives that a user has."""

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .archive import SUFFIXES, unpack


def find_files(
    sources: Sequence[str | os.PathLike],
    layout: re.Pattern,
    wanted: Callable[[str], bool],
    scratch: Path,
) -> Iterator[tuple[str, Path]]:
    """Find files in folders and archives, however deep a dataset lies in them.

    Hidden files and folders are passed over.

    Args:
        sources: Folders and archives. If two hold the same file, the first counts.
        layout: Found in the path of each file of the dataset; its first group is the file's name.
        wanted: Says by its name whether a file is needed; others are not unpacked.
        scratch: Folder to unpack to.

    Yields:
        The name of a file and where it is now.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If a source is no folder and no archive, or as in :func:`unpack`.
    """
    seen = set()

    def name_of(path: str) -> str | None:
        path = posixpath.normpath(path)
        match = layout.search(path)
        # macOS puts a '._x.png' beside x.png, on foreign disks and in archives
        hidden = any(part.startswith('.') for part in path.split('/'))
        name = match.group(1) if match and not hidden else None
        return name if name and name not in seen and wanted(name) else None

    for source in map(Path, sources):
        if source.is_dir():
            pairs = ((path.relative_to(source).as_posix(), path) for path in _walk(source))
        elif not source.exists():
            raise FileNotFoundError(f'--from {source}: there is no such folder or archive.')
        elif not source.name.endswith(SUFFIXES):
            raise ValueError(
                f'--from {source}: neither a folder nor an archive ({", ".join(SUFFIXES)}).'
            )
        else:
            pairs = unpack(source, lambda path: name_of(path) is not None, scratch)
        for path, file in pairs:
            name = name_of(path)
            if name:
                seen.add(name)
                yield name, file


def _walk(top: Path) -> Iterator[Path]:
    """All files under a folder, through symbolic links, but no folder twice."""
    visited = set()
    for folder, folders, files in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in visited else sorted(folders)
        if real not in visited:
            visited.add(real)
            yield from (Path(folder, file) for file in sorted(files))
