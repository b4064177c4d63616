"""Which checkpoint of a work dir a run goes on from."""

from __future__ import annotations

import os.path as osp
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.logging import print_log

from ...checkpoint_objects import why_refused
from .checkpoint_backend import check_whole

# What a runner takes from the checkpoint that it resumes, whatever its config.
_PARTS = ('meta', 'state_dict', 'message_hub')


def last_checkpoint(work_dir: str) -> str | None:
    """The last checkpoint that a run wrote; it is not opened.

    Args:
        work_dir: Where the run keeps its checkpoints.

    Returns:
        Its path: the one that ``last_checkpoint`` names, found by its name inside the
        work dir, else the one of the highest iteration. None if there is none.
    """
    return next((str(path) for path in _checkpoints(work_dir) if path.is_file()), None)


def newest_checkpoint(work_dir: str) -> str | None:
    """The newest checkpoint that loads; the log says which ones are passed over, and why.

    Args:
        work_dir: Where the run keeps its checkpoints.

    Returns:
        Its path; None, which the log says too, if none loads.
    """
    for path in map(str, _checkpoints(work_dir)):
        try:
            read_checkpoint(path)
        except ValueError as error:
            print_log(f'Resume: passed over {error}', 'current')
        else:
            print_log(f'Resume: going on from {path}.', 'current')
            return path
    print_log(f'Resume: no checkpoint in {work_dir} to go on from, starting afresh.', 'current')
    return None


def read_checkpoint(path: str) -> dict:
    """Read all of a checkpoint, on the CPU; only tensors and what mmengine writes are let in.

    Args:
        path: The file.

    Returns:
        What the runner saved.

    Raises:
        ValueError: If it is not there, is damaged, holds objects that a checkpoint has no use for,
            or is none of a training.
    """
    if not osp.isfile(path):
        raise ValueError(f'{path}: it is not there')
    try:
        check_whole(path)
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(f'{path}: {why_refused(error)}') from error
    for part in _PARTS:
        if not isinstance(checkpoint, dict) or part not in checkpoint:
            raise ValueError(f'{path}: it has no {part}, so no training can go on from it')
    return checkpoint


def _checkpoints(work_dir: str) -> Iterator[Path]:
    """Files to go on from: what ``last_checkpoint`` names, then by iteration, the highest first."""
    folder, named = Path(work_dir), None
    places = {folder}
    record = folder / 'last_checkpoint'
    name = record.read_text(errors='replace').strip() if record.is_file() else ''
    if name:
        # mmengine writes an absolute path: followed to the letter, a copied work dir would
        # silently go on from the old place
        named = folder / (osp.basename(name) if osp.isabs(name) else name)
        places.add(named.parent)  # the hook's out_dir may be another one
        yield named
    numbered = []
    for path in (path for place in places for path in place.glob('*.pth')):
        match = re.fullmatch(r'(iter|epoch)_(\d+)\.pth', path.name)
        if match and path != named:
            numbered.append((int(match[2]), path))
    yield from (path for _, path in sorted(numbered, reverse=True))
