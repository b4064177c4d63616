"""The images that a user names: files, folders, patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Of images that OpenCV decodes, in any case. A file that is named itself may have any.
SUFFIXES = ('.bmp', '.jp2', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')


class Input(NamedTuple):
    """An image or video.

    Attributes:
        path: The file.
        name: Folder and name, without suffix, that its results get; no two are the same.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether its suffix is that of a video."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(named: Sequence[str | os.PathLike]) -> list[Input]:
    """Find the images and videos that are named, each once.

    Results are named relative to the folder that all of them lie in, so sub-folders are kept. Where
    two files of a folder differ in their suffix alone, it stays part of the name.

    Args:
        named: Files; folders, which are searched to their bottom, hidden files left out; patterns
            such as ``photos/**/*.jpg``.

    Returns:
        Images and videos, sorted within each folder.

    Raises:
        FileNotFoundError: If something is not there, or a folder or pattern has no images.
    """
    paths, roots = {}, []
    for name in map(os.fspath, named):
        if os.path.isdir(name):
            found, root = list(_walk(Path(name))), Path(name)
        elif os.path.exists(name):
            found, root = [Path(name)], Path(name).parent
        elif glob.has_magic(name):
            found = [Path(p) for p in sorted(glob.glob(name, recursive=True)) if os.path.isfile(p)]
            root = Path(os.path.commonpath([os.path.abspath(p.parent) for p in found] or ['.']))
        else:
            raise FileNotFoundError(f'There is no file or folder {name!r}.')
        if not found:
            raise FileNotFoundError(
                f'{name!r} has no images or videos ({", ".join(SUFFIXES + VIDEO_SUFFIXES)}).'
            )
        roots.append(os.path.abspath(root))
        paths.update((os.path.abspath(path), path) for path in found)
    top = os.path.commonpath(roots)
    names = {full: os.path.splitext(os.path.relpath(full, top))[0] for full in paths}
    times = Counter(names.values())
    return [
        Input(path, name if times[name] == 1 else name + path.suffix)
        for (full, path), name in zip(paths.items(), names.values())
    ]


def _walk(folder: Path) -> Iterator[Path]:
    """Images and videos in a folder and below, through links, no folder twice."""
    visited = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in visited else sorted(f for f in folders if f[0] != '.')
        if real not in visited:
            visited.add(real)
            for file in sorted(files):
                if file[0] != '.' and file.lower().endswith(SUFFIXES + VIDEO_SUFFIXES):
                    yield Path(place, file)
