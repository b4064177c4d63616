"""Which checkpoint of a work dir a run goes on from; it is read once."""

import io
import os.path as osp
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader

from ...checkpoint_objects import load_safely, why_refused
from .checkpoint_backend import find_damage

# What a runner takes from the checkpoint that it resumes, whatever its config.
_PARTS = ('meta', 'state_dict', 'message_hub')


def last_checkpoint(work_dir: str) -> str | None:
    """The last checkpoint that a run wrote into its work dir, unopened; None if there is none."""
    return next((str(path) for path in _checkpoints(work_dir) if path.is_file()), None)


def newest_checkpoint(work_dir: str) -> tuple[str, dict] | tuple[None, None]:
    """Path and content of the newest checkpoint that loads; twice None if none does."""
    for path in map(str, _checkpoints(work_dir)):
        try:
            checkpoint = read_checkpoint(path)
        except ValueError as error:
            print_log(f'Resume: passed over {error}', 'current')
        else:
            print_log(f'Resume: going on from {path}.', 'current')
            return path, checkpoint
    print_log(f'Resume: no checkpoint in {work_dir} to go on from, starting afresh.', 'current')
    return None, None


def read_checkpoint(path: str) -> dict:
    """Read all of a checkpoint, on the CPU; only tensors and what mmengine writes are let in.

    Raises:
        ValueError: If it is not there, is damaged, holds objects that a checkpoint has no use for,
            or is none of a training.
    """
    try:
        file = io.BytesIO(Path(path).read_bytes())
        damage = find_damage(file)
        if not damage:
            file.seek(0)
            checkpoint = load_safely(torch.load, file, map_location='cpu', weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        damage = 'it is not there'
    except Exception as error:  # whatever the bytes of a broken file lead to
        damage = why_refused(error)
    if damage:
        raise ValueError(f'{path}: {damage}')
    for part in _PARTS:
        if not isinstance(checkpoint, dict) or part not in checkpoint:
            raise ValueError(f'{path}: it has no {part}, so no training can go on from it')
    return checkpoint


def load_once(path: str, checkpoint: dict) -> None:
    """Let mmengine's next load of a file give what was read of it already, and then forget that.

    A file that has changed in the meantime is read again.
    """
    pattern, before = f'{re.escape(path)}$', Path(path).stat()

    def load_from_memory(filename, map_location=None):
        del CheckpointLoader._schemes[pattern]
        now = Path(path).stat()
        if any(getattr(now, n) != getattr(before, n) for n in ('st_ino', 'st_size', 'st_mtime_ns')):
            return CheckpointLoader.load_checkpoint(filename, map_location)
        return checkpoint

    CheckpointLoader.register_scheme(pattern, load_from_memory, force=True)


def _checkpoints(work_dir: str) -> Iterator[Path]:
    """Files to go on from: what ``last_checkpoint`` names, then by iteration, the highest first."""
    folder, named = Path(work_dir), None
    folders, record = {folder}, folder / 'last_checkpoint'
    name = record.read_text(errors='replace').strip() if record.is_file() else ''
    if name:
        named = folder / name
        # mmengine's absolute path in a work dir that was moved or copied would go on from the old
        # place; a folder without a record of its own is the hook's out_dir
        own = (folder / named.name).is_file() or (named.parent / 'last_checkpoint').is_file()
        if osp.isabs(name) and own:
            named = folder / named.name
        folders.add(named.parent)  # the hook's out_dir may be another one
        yield named
    found = {
        path: re.fullmatch(r'(iter|epoch)_(\d+)\.pth', path.name)
        for place in folders
        for path in place.glob('*.pth')
    }
    numbered = [(int(match[2]), path) for path, match in found.items() if match and path != named]
    yield from (path for _, path in sorted(numbered, reverse=True))
