"""From nothing to pictures in some minutes: generate data, train, evaluate three times, draw.

It calls what you would call yourself, and prints each command.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.child_process import run_child

from mmseg_deeplabv3x.datasets import ShapesDataset, generate_shapes
from mmseg_deeplabv3x.engine.checkpoints.resume import last_checkpoint
from mmseg_deeplabv3x.evaluation.confusion import (
    class_iou,
    commonest_class_iou,
    folder_confusion,
    iou_table,
)

CONFIG = 'configs/deeplabv3x_r18_os16_shapes.py'
DATA = Path('data/shapes')
WORK_DIR = Path('work_dirs/demo')
AT_8 = ['--output-stride', '8']
EVALUATIONS = {
    'output_stride 16': ('os16', []),
    'output_stride 8': ('os8', AT_8),
    'output_stride 8, scales + flip': ('os8_tta', [*AT_8, '--tta']),
}


def main(checkout: Path) -> None:
    """Run the steps one after the other and print what came out.

    Args:
        checkout: Folder with ``configs/`` and ``tools/``; data and results go there.
    """
    os.chdir(checkout)
    shutil.rmtree(WORK_DIR, ignore_errors=True)
    WORK_DIR.mkdir(parents=True)
    classes = ShapesDataset.METAINFO['classes']
    seconds = {}

    with step('dataset', f'Draw the Shapes dataset into {DATA}, unless it is there', seconds):
        generate_shapes(DATA)
    with step('training', 'Train a small DeepLabv3 at output_stride 16', seconds):
        call('training', 'tools/train.py', CONFIG, '--work-dir', WORK_DIR / 'training')
    checkpoint = os.path.relpath(last_checkpoint(str(WORK_DIR / 'training')))

    columns = {}
    for title, (name, options) in EVALUATIONS.items():
        folder = WORK_DIR / name
        output = ['--work-dir', folder, '--out', folder / 'ids', '--show-dir', folder / 'pictures']
        with step(title, f'Evaluate at {title}', seconds):
            call(name, 'tools/test.py', CONFIG, checkpoint, *output, *options)
            matrix = folder_confusion(folder / 'ids', DATA / 'SegmentationClass', len(classes))
        columns[title] = class_iou(matrix)
    columns['chance'] = commonest_class_iou(matrix)

    print(f'\n{iou_table(classes, columns)}\nchance: answering "background" everywhere\n')
    print('Time:')
    for name, spent in seconds.items():
        print(f'  {name:<32}{spent:4.0f} s')
    print('\nPictures, image | ground truth | prediction:')
    for name, _ in EVALUATIONS.values():
        print(f'  {WORK_DIR / name / "pictures"}')


@contextmanager
def step(name: str, headline: str, seconds: dict[str, float]) -> Iterator[None]:
    """Announce a step, keep its time in ``seconds``; one that fails ends the demo."""
    started = time.time()
    print(f'\n[{len(seconds) + 1}/{2 + len(EVALUATIONS)}] {headline}', flush=True)
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f'Failed: {error}')
    seconds[name] = time.time() - started
    print(f'  took {seconds[name]:.0f} s', flush=True)


def call(name: str, *command: str | os.PathLike) -> None:
    """Run a tool, its whole output into a file, its progress on the screen."""
    command = [sys.executable, *map(str, command)]
    shown = shlex.join(command).replace(f'{os.getcwd()}/', '')
    print(f'  {shown}', flush=True)
    log = WORK_DIR / f'{name}.log'
    status, last = run_child(command, log, _show)
    if status:
        sys.exit(
            f'\n{last}\nFailed with exit code {status}: {shown}\nIts whole output is in {log}.'
        )


def _show(progress: re.Match) -> None:
    mode, done, left, loss = progress.groups()
    print(f'  {mode} {done}, {left} left' + (f', {loss}' if loss else ''), flush=True)


if __name__ == '__main__':
    argparse.ArgumentParser(
        description='Draw the Shapes dataset into data/shapes, train a small DeepLabv3 on it, '
        'evaluate it and draw its predictions into work_dirs/demo: some minutes.'
    ).parse_args()
    main(Path(__file__).resolve().parents[1])
