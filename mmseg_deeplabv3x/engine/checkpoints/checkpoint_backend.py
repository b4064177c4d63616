"""Checkpoints on a local disk: whole or not there."""

import errno
import os
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

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
            damage = find_damage(aside)
            if damage:
                raise OSError(errno.EIO, damage, str(filepath))


def find_damage(file: str | Path | BinaryIO) -> str | None:
    """Compare each record of a checkpoint, which is a zip file, with its checksum.

    ``torch.load`` does not: it takes tensors as they are.

    Args:
        file: What ``torch.save`` wrote.

    Returns:
        A few words on where it is damaged; None if it is whole.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
    except zipfile.BadZipFile:
        record = 'its end, which is missing'
    return record and f'the file is damaged at {record}'
