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
    """The last checkpoint that a run wrote; it is not opened.

    Args:
        work_dir: Where the run keeps its checkpoints.

    Returns:
        Its path: the one that ``last_checkpoint`` names, found by its name inside the
        work dir, else the one of the highest iteration. None if there is none.
    """
    return next((str(path) for path in _checkpoints(work_dir) if path.is_file()), None)


def newest_checkpoint(work_dir: str) -> tuple[str, dict] | tuple[None, None]:
    """The newest checkpoint that loads; the log says which ones are passed over, and why.

    Args:
        work_dir: Where the run keeps its checkpoints.

    Returns:
        Its path and what it holds; twice None, which the log says too, if none loads.
    """
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

    The bytes of the file are held beside its tensors while it is read.

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
        file = io.BytesIO(Path(path).read_bytes())
        damage = find_damage(file)
        if not damage:
            file.seek(0)
            checkpoint = load_safely(torch.load, file, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever the bytes of a broken file lead to
        raise ValueError(f'{path}: {why_refused(error)}') from error
    if damage:
        raise ValueError(f'{path}: {damage}')
    for part in _PARTS:
        if not isinstance(checkpoint, dict) or part not in checkpoint:
            raise ValueError(f'{path}: it has no {part}, so no training can go on from it')
    return checkpoint


def load_once(path: str, checkpoint: dict) -> None:
    """Let mmengine's next load of a file give what was read of it already, and then forget that.

    It is a loader of mmengine's ``CheckpointLoader`` for this one path. A file that has changed
    in the meantime is read again.

    Args:
        path: As the runner will name it.
        checkpoint: What :func:`read_checkpoint` gave for it.
    """
    pattern, state = f'{re.escape(path)}$', _file_state(path)

    def load_from_memory(filename, map_location=None):
        del CheckpointLoader._schemes[pattern]
        if _file_state(path) != state:
            return CheckpointLoader.load_checkpoint(filename, map_location)
        return checkpoint

    CheckpointLoader.register_scheme(pattern, load_from_memory, force=True)


def _file_state(path: str) -> tuple[int, ...] | None:
    """What changes when a file is written or replaced."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _checkpoints(work_dir: str) -> Iterator[Path]:
    """Files to go on from: what ``last_checkpoint`` names, then by iteration, the highest first."""
    folder, named = Path(work_dir), None
    folders = {folder}
    record = folder / 'last_checkpoint'
    name = record.read_text(errors='replace').strip() if record.is_file() else ''
    if name:
        named = folder / name
        if osp.isabs(name) and _is_of_another_run(folder, named):
            named = folder / named.name
        folders.add(named.parent)  # the hook's out_dir may be another one
        yield named
    numbered = []
    for path in (path for place in folders for path in place.glob('*.pth')):
        match = re.fullmatch(r'(iter|epoch)_(\d+)\.pth', path.name)
        if match and path != named:
            numbered.append((int(match[2]), path))
    yield from (path for _, path in sorted(numbered, reverse=True))


def _is_of_another_run(folder: Path, named: Path) -> bool:
    """Whether a work dir that was moved or copied names a checkpoint of its original.

    The path is absolute, as mmengine has it; followed to the letter, a copied work dir would
    silently go on from the old place. A folder without a record of its own is the hook's out_dir.
    """
    return (folder / named.name).is_file() or (named.parent / 'last_checkpoint').is_file()
