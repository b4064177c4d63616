"""The command line of ``tools/chaos.py``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common.child_process import exit_on_sigterm

from mmseg_deeplabv3x.datasets import generate_shapes
from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint
from mmseg_deeplabv3x.files import write_file

from .compare import differences
from .plan import INTERVAL, make_plan
from .report import report, verdict_on
from .soak import Soak
from .training import ChaosError, Training
from .work_dir import WorkDir

CONFIG = 'configs/deeplabv3x_r18_os16_shapes.py'
# An eighth of the usual width: some 100 ms an iteration. Dropout and BN stay as they are.
SMALL = {
    'model.backbone.base_channels': 8,
    'model.decode_head.in_channels': 64,
    'model.decode_head.channels': 16,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 1,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.val_interval': 5 * INTERVAL,
    'default_hooks.checkpoint.interval': INTERVAL,
    'default_hooks.logger.interval': 1,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description='Train a small network twice, once undisturbed, once under kills, damaged '
        'checkpoints and full disks, and compare what comes out. Exits with 1 if it is not the '
        'same, bit by bit, or if the training cannot go on.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--kills', type=int, default=30, help='how often to kill it')
    parser.add_argument('--iterations', type=int, default=1500, help='length of the training')
    parser.add_argument('--seed', type=int, default=0, help='chooses the faults and their time')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default='work_dirs/chaos',
        help='new folder for data, logs, checkpoints and report.md',
    )
    return parser


def main(checkout: Path, argv: Sequence[str] | None = None) -> None:
    """Do as the command line says.

    Args:
        checkout: Folder with ``configs/`` and ``tools/``.
        argv: The arguments. Default: those of the process.

    Raises:
        SystemExit: With the status 1 if the two trainings differ or one cannot go on; 2 if the
            arguments make no sense.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    folder = args.work_dir.resolve()
    try:
        plan = make_plan(args.kills, args.iterations, args.seed)
    except ValueError as error:
        parser.error(str(error))
    if folder.exists() and any(folder.iterdir()):
        parser.error(f'--work-dir {args.work_dir} is not empty: remove it or name another one')

    def start(name: str, *flags: str) -> Training:
        options = {**SMALL, 'train_cfg.max_iters': args.iterations}
        for split in ('train', 'val'):
            options[f'{split}_dataloader.dataset.data_root'] = folder / 'data'
        command = [sys.executable, checkout / 'tools/train.py', checkout / CONFIG, *flags]
        command += ['--work-dir', folder / name, '--cfg-options']
        command += [f'{key}={value}' for key, value in options.items()]
        return Training(command, folder / f'{name}.log')

    generate_shapes(folder / 'data', num_train=32, num_val=4)
    results = [folder / name / f'iter_{args.iterations}.pth' for name in ('undisturbed', 'faults')]
    soak = Soak(partial(start, 'faults', '--resume'), WorkDir(folder / 'faults'), results[0])
    seconds = []
    try:
        with exit_on_sigterm():
            show = _Progress(args.iterations)
            with start('undisturbed') as training:
                training.finish(partial(show, 'undisturbed'))
            seconds.append(show.seconds)

            show = _Progress(args.iterations)
            for number, one in enumerate(plan, 1):
                soak.play(one)
                show(f'{number}/{len(plan)} {soak.outcomes[-1].fault}', soak.reached)
            soak.finish(partial(show, 'left alone'))
            seconds.append(show.seconds)
        different = differences(*(read_checkpoint(str(path)) for path in results))
        failed, verdict = bool(different), verdict_on(different)
    except ChaosError as error:
        failed, verdict = True, str(error)
    flags = f'--kills {args.kills} --iterations {args.iterations} --seed {args.seed}'
    text = report(f'tools/chaos.py {flags}', soak.outcomes, soak.half_written, seconds, verdict)
    write_file(folder / 'report.md', text)
    print(f'\n{text}\n(in {folder}/report.md)')
    if failed:
        sys.exit(verdict)


class _Progress:
    """Shows how far a training is, and the time that is left."""

    def __init__(self, iterations: int):
        self.iterations, self.began = iterations, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def __call__(self, what: str, done: int) -> None:
        left = ''
        if done:
            seconds = round(self.seconds * (self.iterations - done) / done)
            left = f', about {seconds // 60}:{seconds % 60:02} left'
        print(f'{what}: iteration {done} of {self.iterations}{left}', flush=True)
