"""From nothing to pictures in some minutes: generate data, train, evaluate three times, draw.

It calls what you would call yourself, and prints each command.
"""

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.child_process import CommandError, run_command
from common.folder_confusion import folder_confusion, most_frequent_class_iou
from common.shapes_generator import generate_shapes

from mmseg_deeplabv3x.datasets import ShapesDataset
from mmseg_deeplabv3x.engine.checkpoints.resume import last_checkpoint
from mmseg_deeplabv3x.evaluation.confusion import (
    class_iou,
    class_table,
)

CONFIG = 'configs/deeplabv3x_r18_os16_shapes.py'
AT_8 = ['--output-stride', '8']
EVALUATIONS = {
    'output_stride 16': ('os16', []),
    'output_stride 8': ('os8', AT_8),
    'output_stride 8, scales + flip': ('os8_tta', [*AT_8, '--tta']),
}


def main(
    checkout: Path,
    data: Path = Path('data/shapes'),
    work_dir: Path = Path('work_dirs/demo'),
    num_train: int = 800,
    num_val: int = 100,
    cfg_options: Sequence[str] = (),
) -> None:
    """Run the steps one after the other and print what came out.

    Args:
        checkout: Folder with ``configs/`` and ``tools/``, to which paths are relative.
        data: Folder of the dataset, the one that the config names.
        work_dir: Folder of the results; what is there is removed.
        num_train: Images to train on.
        num_val: Images to evaluate on.
        cfg_options: Settings of training and evaluations, 'key=value'.
    """
    os.chdir(checkout)
    shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True)
    classes = ShapesDataset.METAINFO['classes']
    options = ['--cfg-options', *cfg_options] if cfg_options else []
    seconds = {}

    with step('dataset', f'Draw the Shapes dataset into {data}, unless it is there', seconds):
        generate_shapes(data, num_train, num_val)
    training = work_dir / 'training'
    with step('training', 'Train a small DeepLabv3 at output_stride 16', seconds):
        call('tools/train.py', CONFIG, '--work-dir', training, *options, log=f'{training}.log')
    checkpoint = os.path.relpath(last_checkpoint(str(training)))

    columns = {}
    for title, (name, flags) in EVALUATIONS.items():
        folder = work_dir / name
        output = ['--work-dir', folder, '--out', folder / 'ids', '--show-dir', folder / 'pictures']
        arguments = [CONFIG, checkpoint, *output, *flags, *options]
        with step(title, f'Evaluate at {title}', seconds):
            call('tools/test.py', *arguments, log=f'{folder}.log')
            matrix = folder_confusion(folder / 'ids', data / 'SegmentationClass', len(classes))
        columns[title] = class_iou(matrix)
    columns['chance'] = most_frequent_class_iou(matrix)

    table = class_table(classes, columns, 'IoU in %', 'mIoU')
    print(f'\n{table}\nchance: answering "background" everywhere\n')
    print('Time:')
    for name, spent in seconds.items():
        print(f'  {name:<32}{spent:4.0f} s')
    print('\nPictures, image | ground truth | prediction:')
    for name, _ in EVALUATIONS.values():
        print(f'  {work_dir / name / "pictures"}')


@contextmanager
def step(name: str, headline: str, seconds: dict[str, float]) -> Iterator[None]:
    """Announce a step, keep its time in ``seconds``; one that fails ends the demo."""
    started = time.time()
    print(f'\n[{len(seconds) + 1}/{2 + len(EVALUATIONS)}] {headline}', flush=True)
    try:
        yield
    except (OSError, ValueError, CommandError) as error:
        sys.exit(f'Failed: {error}')
    seconds[name] = time.time() - started
    print(f'  took {seconds[name]:.0f} s', flush=True)


def call(*command: str | os.PathLike, log: str) -> None:
    """Run a tool, its whole output into a file, its progress on the screen."""
    command = [sys.executable, *map(str, command)]
    print(f'  {shlex.join(command)}'.replace(f'{os.getcwd()}/', ''), flush=True)
    run_command(command, Path(log))


if __name__ == '__main__':
    argparse.ArgumentParser(
        description='Draw the Shapes dataset into data/shapes, train a small DeepLabv3 on it, '
        'evaluate it and draw its predictions into work_dirs/demo: some minutes.'
    ).parse_args()
    main(Path(__file__).resolve().parents[1])
