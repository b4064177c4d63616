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
    """mmengine's ``LocalBackend``, which leaves half a file after a kill or on a full disk."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write aside what ``torch.save`` made, bring it to the disk, read it back, rename.

        After an ``OSError`` nothing is left of it, and a file that was there is as it was.
        """
        with written_aside(filepath) as aside:
            free = shutil.disk_usage(aside.parent).free
            if free < len(obj):
                room = f'it takes {len(obj) / 2**20:.1f} MiB and {free / 2**20:.1f} MiB are free'
                raise OSError(errno.ENOSPC, room, str(filepath))
            with open(aside, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            if damage := find_damage(aside):
                raise OSError(errno.EIO, damage, str(filepath))


def find_damage(file: str | Path | BinaryIO) -> str | None:
    """Say in a few words where a checkpoint, which is a zip file, is damaged; None if it is whole.

    ``torch.load`` compares no record with its checksum: it takes tensors as they are.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
    except zipfile.BadZipFile:
        record = 'its end, which is missing'
    return record and f'the file is damaged at {record}'
