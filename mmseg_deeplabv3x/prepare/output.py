"""A data folder in the making."""

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from ..datasets.lists import first_few


class Output:
    """Collects files beside a data folder and moves them in when all of them are there.

    Every file is written under another name and renamed, so what an interrupted run leaves behind
    are whole files, and the next run goes on from them, unless this is ``fresh``: then nothing is
    kept. A folder that is not there yet appears at once; one that is there receives its files at
    the end, lists last: a list of images never names what has not arrived. Use it as a context
    manager: an error leaves the data folder untouched. Names of files are relative to the folder,
    with slashes.
    """

    def __init__(self, root: str | os.PathLike, fresh: bool = False):
        self.root = Path(root).resolve()
        self.aside = self.root.parent / f'.{self.root.name}.partial'
        self.files = self.aside / 'files'
        self.scratch = self.aside / 'scratch'
        self.fresh = fresh
        self._numbers = itertools.count()

    def __enter__(self) -> 'Output':
        shutil.rmtree(self.aside if self.fresh else self.scratch, ignore_errors=True)
        self._new_folders = [folder for folder in self.aside.parents if not folder.exists()]
        self.files.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir()
        return self

    def __exit__(self, error, *_) -> None:
        if error is None:
            self._finish()
        shutil.rmtree(self.aside if self.fresh else self.scratch, ignore_errors=True)
        if not self.files.exists() or not any(self.files.iterdir()):
            shutil.rmtree(self.aside, ignore_errors=True)
            for folder in self._new_folders:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        elif error is not None:
            print(f'\nFinished files are kept in {self.aside} for the next run.')

    def path(self, name: str) -> Path | None:
        """Where a file is now, if it is there."""
        places = (folder / name for folder in (self.files, self.root))
        return next((path for path in places if path.is_file()), None)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return self.path(name) is not None

    def names(self, pattern: str) -> list[str]:
        """The files that are there and fit a pattern such as ``images/train/*.jpg``, sorted."""
        folders = self.files, self.root
        return sorted({p.relative_to(top).as_posix() for top in folders for p in top.glob(pattern)})

    def require(self, needed: Sequence[str], what: str) -> None:
        """Refuse, by a FileNotFoundError, to finish while files are missing that ``what`` needs."""
        missing = [name for name in needed if not self.has(name)]
        if missing:
            raise FileNotFoundError(
                f'{what} needs {len(needed)} files, of which {len(missing)} are missing: '
                f'{first_few(missing)}. Name a complete copy with --from.'
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a path to write to; what was written there becomes the file."""
        temporary = self.scratch / f'new_{next(self._numbers)}{PurePosixPath(name).suffix}'
        try:
            yield temporary
            self._move(temporary, self.files / name)
        finally:
            temporary.unlink(missing_ok=True)

    def place(self, source: Path, name: str) -> None:
        """Put a file in as it is: as a hard link where the disk allows, else as a copy."""
        with self.writing(name) as temporary:
            try:
                os.link(source.resolve(), temporary)
            except OSError:
                shutil.copyfile(source, temporary)

    def _finish(self) -> None:
        if not self.root.exists() and any(self.files.iterdir()):
            os.replace(self.files, self.root)
            return
        arrived = [path for path in self.files.rglob('*') if path.is_file()]
        for path in sorted(arrived, key=lambda path: (path.suffix in ('.txt', '.json'), path)):
            self._move(path, self.root / path.relative_to(self.files))
        shutil.rmtree(self.files)

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def fresh_output(root: str | os.PathLike) -> Output:
    """A data folder that must not be there yet, made in one go."""
    if os.path.exists(root):
        raise ValueError(f'{root} is there already: remove it, or name another --root.')
    return Output(root, fresh=True)
