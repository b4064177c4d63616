"""From nothing to pictures in some minutes: generate data, train, evaluate in three ways, draw.

``make demo`` runs it. It calls what you would call yourself, and prints each command.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

from mmseg_deeplabv3x.datasets import ShapesDataset, generate_shapes
from mmseg_deeplabv3x.engine.cli import last_checkpoint
from mmseg_deeplabv3x.evaluation.confusion import (
    class_iou,
    commonest_class_iou,
    folder_confusion,
    iou_table,
)

CONFIG = 'configs/deeplabv3x_r18_os16_shapes.py'
DATA = Path('data/shapes')
WORK_DIR = Path('work_dirs/demo')
AT_8 = ['--cfg-options', 'model.output_stride=8']
EVALUATIONS = {
    'output_stride 16': ('os16', []),
    'output_stride 8': ('os8', AT_8),
    'output_stride 8, scales + flip': ('os8_tta', [*AT_8, '--tta']),
}
PROGRESS = re.compile(
    r'(?:Iter|Epoch)\((\w+)\) +\[ *(\d+/\d+)\].*?eta: ([\d:]+)(?:.*?(loss: \S+))?'
)


def main():
    """Run the steps one after the other and print what came out."""
    os.chdir(Path(__file__).resolve().parents[1])
    shutil.rmtree(WORK_DIR, ignore_errors=True)
    WORK_DIR.mkdir(parents=True)
    classes = ShapesDataset.METAINFO['classes']
    seconds = {}

    with step('data set', f'Draw the Shapes data set into {DATA}, unless it is there', seconds):
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
def step(name, headline, seconds):
    """Announce a step, keep its time in ``seconds``; one that fails ends the demo."""
    started = time.time()
    print(f'\n[{len(seconds) + 1}/{2 + len(EVALUATIONS)}] {headline}', flush=True)
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f'Failed: {error}')
    seconds[name] = time.time() - started
    print(f'  took {seconds[name]:.0f} s', flush=True)


def call(name, *command):
    """Run a tool, its whole output into a file, its progress on the screen."""
    command = [sys.executable, *map(str, command)]
    shown = shlex.join(command).replace(f'{os.getcwd()}/', '')
    print(f'  {shown}', flush=True)
    log, last = WORK_DIR / f'{name}.log', deque(maxlen=15)
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with open(log, 'w') as file, subprocess.Popen(command, text=True, **pipes) as process:
        for line in process.stdout:
            file.write(line)
            last.append(line)
            progress = PROGRESS.search(line)
            if progress:
                mode, done, left, loss = progress.groups()
                print(f'  {mode} {done}, {left} left' + (f', {loss}' if loss else ''), flush=True)
    if process.returncode:
        sys.exit(
            f'\n{"".join(last)}\nFailed with exit code {process.returncode}: {shown}\n'
            f'Its whole output is in {log}.'
        )


if __name__ == '__main__':
    main()
