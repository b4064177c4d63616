"""Checkpoints on a local disk: whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ...files import written_aside


@register_backend('checkpoint', force=True)  # importing twice is safe
class CheckpointBackend(LocalBackend):
    """mmengine's ``LocalBackend``, for files that ``torch.save`` makes.

    Upstream writes into the file of the final name at once: a kill leaves half of it, and so does a
    full disk.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write aside, bring it to the disk, read it back, rename.

        Args:
            obj: What ``torch.save`` made.
            filepath: The checkpoint; one that is there is replaced.

        Raises:
            OSError: If the disk has no room for it, or it cannot be read back. Nothing is left
                of it then, and a file that was there is as it was.
        """
        with written_aside(filepath) as aside:
            free = shutil.disk_usage(aside.parent).free
            if free < len(obj):
                raise OSError(
                    errno.ENOSPC,
                    f'it takes {len(obj) / 2**20:.1f} MiB and {free / 2**20:.1f} MiB are free',
                    str(filepath),
                )
            with open(aside, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            check_whole(aside)


def check_whole(path: str | Path) -> None:
    """Compare each record of a checkpoint, which is a zip file, with its checksum.

    ``torch.load`` does not: it takes tensors as they are.

    Args:
        path: What ``torch.save`` wrote.

    Raises:
        OSError: If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile:
        damaged = 'its end, which is missing'
    if damaged:
        raise OSError(errno.EIO, f'the file is damaged at {damaged}', str(path))
