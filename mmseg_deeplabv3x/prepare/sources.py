"""Finds the files of a dataset in the folders and archives that a user has."""

import errno
import filecmp
import os
import posixpath
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path

from ..progress import track

Sources = Sequence[str | os.PathLike]  # folders, archives, and JSON files
SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz')
UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, UnicodeDecodeError,
    OSError, NotImplementedError,  # zip: a way to compress or encrypt that Python does not know
)  # fmt: skip


def find_files(
    sources: Sources,
    layout: re.Pattern,
    wanted: Callable[[str], bool],
    scratch: Path,
    unique: bool = False,
) -> Iterator[tuple[str, Path]]:
    """Find files in folders and archives, however deep a dataset lies in them.

    Hidden files and folders are passed over. Of several files of one name the first counts; with
    ``unique``, a ValueError names two that are not the same.
    ``layout`` is found in the path of each file of the dataset, and its first group is the file's
    name; ``wanted`` says by it whether a file is needed; others are not unpacked, to ``scratch``.
    Yields the name of a file and where it is now.
    """
    seen = {}

    def name_of(path: str) -> str | None:
        path = posixpath.normpath(path)
        match = layout.search(path)
        # macOS puts a '._x.png' beside x.png, on foreign disks and in archives
        hidden = any(part.startswith('.') for part in path.split('/'))
        name = match.group(1) if match and not hidden else None
        return name if name and (unique or name not in seen) and wanted(name) else None

    for source in map(Path, sources):
        if source.is_dir():
            pairs = ((path.relative_to(source).as_posix(), path) for path in walk(source))
        elif source.suffix == '.json' and source.is_file():
            pairs = [(source.name, source)]
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
            if name is None:
                continue
            place = f'{path} in {source}' if scratch in file.parents else str(file)
            first, first_file = seen.setdefault(name, (place, file))
            if first_file is file:
                yield name, file
            elif not filecmp.cmp(first_file, file, shallow=False):
                raise ValueError(
                    f'{first} and {place} are two files of the same name, {name}: rename one.'
                )


def walk(top: Path) -> Iterator[Path]:
    """All files under a folder, through symbolic links, but no folder twice."""
    visited = set()
    for folder, folders, files in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in visited else sorted(folders)
        if real not in visited:
            visited.add(real)
            yield from (Path(folder, file) for file in sorted(files))


def unpack(
    archive: Path, wanted: Callable[[str], bool], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Unpack the members of an archive that are wanted; yields the name of each, and its file.

    All members are looked at before the first is unpacked. The files land in one flat folder, a new
    one in ``folder``, so no path in an archive decides on a place on the disk.

    Raises:
        OSError: If the disk has no room for what the archive says it holds, as a bomb does.
        ValueError: If a member has an absolute path or one with ``..``, is a symbolic link, a hard
            link to what the archive does not hold, a device or encrypted; if the archive is
            damaged.
    """
    with _named_if_damaged(archive):
        is_zip = archive.name.endswith('.zip')
        with zipfile.ZipFile(archive) if is_zip else tarfile.open(archive) as file:
            members = (_zip_members if is_zip else _tar_members)(file, archive)
            chosen = [(name, *member) for name, member in members.items() if wanted(name)]
            size, free = sum(size for *_, size in chosen), shutil.disk_usage(folder).free
            if size > free:
                gib = f'{size / 2**30:.1f} GiB unpacked, and {free / 2**30:.1f} GiB are free'
                raise OSError(errno.ENOSPC, f'{archive} takes {gib}', str(folder))
            folder = tempfile.mkdtemp(dir=folder)  # files of other archives have the same numbers
            for number, (name, read, _) in enumerate(track(chosen, f'Unpacking {archive}')):
                target = Path(folder, f'{number}_{Path(name).name}')
                with read() as source, open(target, 'wb') as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                yield name, target


@contextmanager
def _named_if_damaged(archive: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; the others are gzip's, and places before the file's start
        problem = str(error).partition(':\n')[0]  # tarfile lists all that it tried
        raise ValueError(
            f'{archive} is damaged or incomplete ({problem}); download it again.'
        ) from error


def _zip_members(file: zipfile.ZipFile, archive: Path) -> dict[str, tuple[Callable, int]]:
    members = {}
    for info in file.infolist():
        _check_name(info.filename, info.filename, archive)
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive does not say
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(archive, info.filename, 'is a link or a device')
        if info.flag_bits & 1:
            _refuse(archive, info.filename, 'is encrypted')
        if not info.is_dir():
            members[info.filename] = partial(file.open, info), info.file_size
    return members


def _tar_members(file: tarfile.TarFile, archive: Path) -> dict[str, tuple[Callable, int]]:
    members = {}
    for info in file.getmembers():
        _check_name(info.name, info.name, archive)
        if info.islnk():  # a second name of a file packed before
            _check_name(info.linkname, info.name, archive)
            if info.linkname not in members:
                why = f'is a link to {info.linkname!r}, which the archive does not hold'
                _refuse(archive, info.name, why)
            members[info.name] = members[info.linkname]
        elif info.isreg():
            members[info.name] = partial(file.extractfile, info), info.size
        elif not info.isdir():
            _refuse(archive, info.name, 'is a link or a device')
    return members


def _check_name(name: str, member: str, archive: Path) -> None:
    if re.match(r'[/\\]|[A-Za-z]:', name):
        _refuse(archive, member, f'points to the absolute path {name!r}')
    if '..' in re.split(r'[/\\]', name):
        _refuse(archive, member, f"leaves the archive's folder by '..' in {name!r}")


def _refuse(archive: Path, member: str, why: str) -> None:
    raise ValueError(
        f'{archive}: member {member!r} {why}. No dataset needs that: the archive is refused, '
        'nothing was unpacked.'
    )
