"""Trains and evaluates by ``tools/train.py`` and ``tools/test.py``, each in a process of its own.

A process keeps loggers and visualizers for its whole life, and a run that breaks takes it along.
"""

import json
import sys
from pathlib import Path

from common.child_process import run_command

from mmseg_deeplabv3x.engine.checkpoints.resume import last_checkpoint

TOOLS = Path(__file__).resolve().parents[1]


def train(config: Path, folder: Path) -> None:
    """Train a config to its end in ``folder/training``, going on from what is there.

    Raises:
        CommandError: If that fails.
    """
    command = [sys.executable, TOOLS / 'train.py', config, '--work-dir', folder / 'training']
    run_command([*command, '--resume'], folder / 'train.log')


def evaluate(config: Path, checkpoint: str, folder: Path, augmented: bool) -> float:
    """Evaluate a checkpoint on the config's test loader.

    Args:
        config: The config.
        checkpoint: The weights.
        folder: Folder for logs.
        augmented: Whether to use the config's ``tta_pipeline``.

    Returns:
        MIoU in percent.

    Raises:
        CommandError: If that fails.
    """
    command = [sys.executable, TOOLS / 'test.py', config, checkpoint]
    command += ['--work-dir', folder / 'evaluation', *['--tta'] * augmented]
    run_command(command, folder / 'test.log')
    newest = max((folder / 'evaluation').glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())['mIoU']


def finished_checkpoint(folder: Path, max_iters: int) -> str | None:
    """The last checkpoint in ``folder/training`` if that training went to its end, else None."""
    path = last_checkpoint(str(folder / 'training'))
    return path if path and Path(path).name == f'iter_{max_iters}.pth' else None
