"""The images that a user names: files, folders, patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Of images that OpenCV decodes, in any case. A file that is named itself may have any.
SUFFIXES = (
    *('.avif', '.bmp', '.dib', '.gif', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg'),
    *('.pbm', '.pgm', '.png', '.pnm', '.ppm', '.tif', '.tiff', '.webp'),
)
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')


class Input(NamedTuple):
    """An image or video."""

    path: Path
    name: str  # folder and name, without suffix, that its results get; no two are the same

    @property
    def is_video(self) -> bool:
        """Whether its suffix is that of a video."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    named: Sequence[str | os.PathLike], results: Sequence[str | os.PathLike] = ()
) -> list[Input]:
    """Find the images and videos that are named, each once, sorted within each folder.

    What is named are files; folders, which are searched to their bottom, hidden files left out;
    patterns such as ``photos/**/*.jpg``. What searching finds in the folders ``results``, pictures
    of an earlier call, is left out. If something is not there, or has no images, it is a
    FileNotFoundError. Results are named relative to the folder that all of them lie in, so
    sub-folders are kept. The suffix stays where another file would get the same name.
    """
    if not named:
        raise FileNotFoundError('The list of images is empty.')
    paths, roots = {}, []
    left_out = {os.path.realpath(folder) for folder in results}
    for name in map(os.fspath, named):
        if os.path.isdir(name):
            found, root = list(_walk(Path(name), left_out)), Path(name)
        elif os.path.exists(name):
            found, root = [Path(name)], Path(name).parent
        elif glob.has_magic(name):
            found = [Path(p) for p in sorted(glob.glob(name, recursive=True)) if os.path.isfile(p)]
            found = [p for p in found if left_out.isdisjoint(map(str, p.resolve().parents))]
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
    names = {os.path.relpath(full, top): path for full, path in paths.items()}
    taken = Counter([*names, *(os.path.splitext(name)[0] for name in names)])
    return [
        Input(path, stem if taken[stem] == 1 else name)
        for name, path in names.items()
        for stem in [os.path.splitext(name)[0]]
    ]


def _walk(folder: Path, left_out: set[str]) -> Iterator[Path]:
    """Images and videos in a folder and below, through links, no folder twice."""
    visited = left_out - {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in visited else sorted(f for f in folders if f[0] != '.')
        if real not in visited:
            visited.add(real)
            for file in sorted(files):
                if file[0] != '.' and file.lower().endswith(SUFFIXES + VIDEO_SUFFIXES):
                    yield Path(place, file)
