"""Unpacks what came from elsewhere, and nothing else than plain files."""

import errno
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path

from ..progress import track

UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,  # zip: a way to compress or encrypt that Python does not know
    UnicodeDecodeError,
    OSError,
)
SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz')


def unpack(
    archive: Path, wanted: Callable[[str], bool], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Unpack members of an archive one by one.

    All members are looked at before the first is unpacked. The files land in one flat folder, so
    no path in an archive decides on a place on the disk.

    Args:
        archive: A ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        wanted: Says by its name whether a member is needed.
        folder: Where the files go, under a number and the member's own name.

    Yields:
        The name of a member and its file.

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
            chosen = [(name, read) for name, (read, _) in members.items() if wanted(name)]
            _check_room(archive, sum(members[name][1] for name, _ in chosen), folder)
            for number, (name, read) in enumerate(track(chosen, f'Unpacking {archive}')):
                target = folder / f'{number}_{Path(name).name}'
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


def _check_room(archive: Path, size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f'{archive} takes {size / 2**30:.1f} GiB unpacked, and {free / 2**30:.1f} GiB are free',
            str(folder),
        )


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
                _refuse(
                    archive,
                    info.name,
                    f'is a link to {info.linkname!r}, which the archive does not hold',
                )
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
