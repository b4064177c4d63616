"""Calls ``tools/train.py`` and ``tools/test.py``, each in a process of its own.

A process keeps loggers and visualizers for its whole life, and a run that breaks takes it along.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from common.child_process import run_child

from mmseg_deeplabv3x.engine.checkpoints.resume import last_checkpoint


class ToolError(RuntimeError):
    """A tool ended with an error."""


def call_tool(tool: str, argv: Sequence[str | os.PathLike], log: Path) -> None:
    """Run one of the tools, its output into a file, its progress on the screen.

    The tool ends where this process is told to.

    Args:
        tool: 'train' or 'test'.
        argv: Its command line.
        log: File that its output is appended to.

    Raises:
        ToolError: If it fails; with its last lines.
    """
    command = [sys.executable, '-c', f'from mmseg_deeplabv3x.cli.{tool} import {tool} as t; t()']
    status, last = run_child([*command, *map(str, argv)], log, _show)
    if sys.stdout.isatty():
        print('\r' + ' ' * 40 + '\r', end='', flush=True)
    if status:
        raise ToolError(f'{last}{tool} failed, its whole output is in {log}.')


def _show(progress: re.Match) -> None:
    if sys.stdout.isatty():
        _, done, left, _ = progress.groups()
        print(f'\r    {done}, {left} left ', end='', flush=True)


def train(config: Path, folder: Path) -> None:
    """Train a config to its end in ``folder/training``, going on from what is there."""
    argv = [config, '--work-dir', folder / 'training', '--resume']
    call_tool('train', argv, folder / 'train.log')


def evaluate(config: Path, checkpoint: str, folder: Path, augmented: bool) -> float:
    """Evaluate a checkpoint on the config's test loader.

    Args:
        config: The config.
        checkpoint: The weights.
        folder: Folder for logs.
        augmented: Whether to use the config's ``tta_pipeline``.

    Returns:
        MIoU in percent.
    """
    argv = [config, checkpoint, '--work-dir', folder / 'evaluation', *['--tta'] * augmented]
    call_tool('test', argv, folder / 'test.log')
    newest = max((folder / 'evaluation').glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())['mIoU']


def finished_checkpoint(folder: Path, max_iters: int) -> str | None:
    """The last checkpoint in ``folder/training`` if that training went to its end, else None."""
    path = last_checkpoint(str(folder / 'training'))
    return path if path and Path(path).name == f'iter_{max_iters}.pth' else None
