"""The command line of ``tools/chaos.py``."""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common.shapes_generator import generate_shapes

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import Progress

from .checkpoints import Checkpoints
from .compare import differences
from .fault_injection import FaultInjection
from .fault_plan import INTERVAL, make_plan
from .report import report, verdict_on
from .training_process import ChaosError, TrainingProcess

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

    def start(name: str, *flags: str) -> TrainingProcess:
        options = {**SMALL, 'train_cfg.max_iters': args.iterations}
        for split in ('train', 'val'):
            options[f'{split}_dataloader.dataset.data_root'] = folder / 'data'
        command = [sys.executable, checkout / 'tools/train.py', checkout / CONFIG, *flags]
        command += ['--work-dir', folder / name, '--cfg-options']
        command += [f'{key}={value}' for key, value in options.items()]
        return TrainingProcess(command, folder / f'{name}.log')

    generate_shapes(folder / 'data', num_train=32, num_val=4)
    results = [folder / name / f'iter_{args.iterations}.pth' for name in ('undisturbed', 'faults')]
    faults = FaultInjection(
        partial(start, 'faults', '--resume'), Checkpoints(folder / 'faults'), results[0]
    )
    seconds = []
    try:
        began = time.monotonic()
        with start('undisturbed') as training, Progress('undisturbed', args.iterations) as bar:
            training.finish(lambda done: bar.advance(done - bar.done))
        seconds.append(time.monotonic() - began)

        began = time.monotonic()
        with Progress('with faults', args.iterations) as bar:
            for number, fault in enumerate(plan, 1):
                faults.inject(fault)
                bar.title = f'{number} of {len(plan)} faults'
                bar.advance(faults.reached - bar.done)
            faults.finish(lambda done: bar.advance(done - bar.done))
        seconds.append(time.monotonic() - began)
        different = differences(*(read_checkpoint(str(path)) for path in results))
        failed, verdict = bool(different), verdict_on(different)
    except ChaosError as error:
        failed, verdict = True, str(error)
    flags = f'--kills {args.kills} --iterations {args.iterations} --seed {args.seed}'
    text = report(f'tools/chaos.py {flags}', faults.outcomes, faults.half_written, seconds, verdict)
    write_file(folder / 'report.md', text)
    print(f'\n{text}\n(in {folder}/report.md)')
    if failed:
        sys.exit(verdict)
