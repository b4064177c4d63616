"""Downloads large files: goes on where it stopped, and checks what came."""

import hashlib
import os
import re
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ..progress import Progress

DOWNLOADS = 'data/downloads'
TRIES = 5  # connections in a row that bring nothing new
TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 20


class DownloadError(RuntimeError):
    """A file could not be downloaded."""


@dataclass(frozen=True)
class Remote:
    """A file to download."""

    url: str  # official
    md5: str = ''  # as published; empty where none is
    name: str = ''  # here; by default as in the address


def download(remote: Remote, folder: str | os.PathLike) -> Path:
    """Download a file to a folder, unless it is there.

    What has come stays in ``NAME.partial``, also when the process is killed, and the next try asks
    for the rest. A server that can only send the whole file is let do so. A DownloadError is raised
    where it refuses, brings nothing new in five tries, or sends another file than that published.
    """
    path = Path(folder) / (remote.name or remote.url.rsplit('/', 1)[1])
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    print(f'Downloading {remote.url} to {path}')
    longest, tries = _size(partial), 0
    while True:
        try:
            if _fetch_rest(remote.url, partial):
                break
            problem = 'the connection ended early'
        except HTTPError as error:
            problem = f'the server answers "{error}"'
            tries = TRIES if error.code < 500 else tries
        except (TimeoutError, URLError, HTTPException, ConnectionError, ssl.SSLError) as error:
            problem = str(getattr(error, 'reason', error)) or type(error).__name__
        tries = 0 if _size(partial) > longest else tries + 1
        longest = max(longest, _size(partial))
        if tries >= TRIES:
            raise DownloadError(
                f'{remote.url} could not be downloaded: {problem}. {longest} bytes have arrived; '
                'run the same command again to continue, or get the file in another way and name '
                'it with --from.'
            )
        time.sleep(2**tries)
    _check_md5(partial, remote)
    os.replace(partial, path)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, partial: Path) -> bool:
    """Append what one connection gives; returns whether the file is whole now."""
    have = _size(partial)
    headers = {'Range': f'bytes={have}-'} if have else {}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        # There is nothing after what we have: it is the whole file, or more than that.
        if error.headers.get('Content-Range') == f'bytes */{have}':
            return True
        partial.unlink(missing_ok=True)
        return False
    with response:
        start, total = 0, response.length
        content = re.match(r'bytes (\d+)-\d+/(\d+)', response.headers.get('Content-Range', ''))
        if response.status == 206 and content:
            start, total = map(int, content.groups())
        if start not in (0, have):
            raise HTTPException(f'the server sends bytes from {start} on, not from {have} on')
        with (
            open(partial, 'ab' if start else 'wb') as file,
            Progress(partial.stem, total, start, lambda size: f'{size / 1e6:.1f} MB') as progress,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                progress.advance(len(block))
    return total is None or _size(partial) == total


def _check_md5(partial: Path, remote: Remote) -> None:
    if not remote.md5:
        print(f'{partial.stem}: no checksum is published, so the file is not verified')
        return
    digest = hashlib.md5()
    with open(partial, 'rb') as file:  # file_digest needs Python 3.11
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != remote.md5:
        partial.unlink()
        raise DownloadError(
            f'{remote.url} gave a file with the MD5 sum {digest.hexdigest()}, published is '
            f'{remote.md5}: it was damaged on the way or has changed on the server, and was '
            'removed. Try again, or get the file in another way and name it with --from.'
        )
