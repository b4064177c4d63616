"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file aside and rename it, so that nobody ever finds half of it.

    Args:
        path (str | os.PathLike): The file; one that is there is replaced.
        content (str | bytes): Text is written as UTF-8.
    """
    path = Path(path)
    aside = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
