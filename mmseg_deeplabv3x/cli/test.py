"""``tools/test.py``: from a command line to an evaluation."""

import argparse
import os.path as osp
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS, VISBACKENDS

from ..data_check import check_before_testing
from ..inference.exported_segmentor import RUNTIMES, exported_model
from ..inference.loading import set_output_stride
from ..models.segmentors.fast_prediction import FAST_RUNTIMES, PRECISIONS
from ..transforms.kinds import builds_one_of, kind_of
from .arguments import checkpoint_file, output_stride, runner_parser, scale
from .messages import install_messages
from .predictions import check_packable, pack_predictions, write_predictions
from .runner import build_runner, disconnect, load_config, log_on_first_rank_only
from .train import is_restarted_by_launcher
from .tta import use_tta
from .user_errors import exit_on_user_error

_OF_MMENGINE = ('.log', '.json', '.py')  # what the console has shown, and the config


def test(argv: Sequence[str] | None = None) -> None:
    """Evaluate as the command line, by default that of the process, says."""
    parser = test_parser()
    args = parser.parse_args(argv)
    if not args.tta and (args.scales or args.no_flip):
        parser.error('--scales and --no-flip choose the views of --tta: add --tta')
    if not args.fast and (args.precision or args.fast_runtime):
        parser.error('--precision and --fast-runtime are for --fast: add --fast')
    if args.pack and not args.out:
        parser.error('--pack packs the predictions of --out: add --out FOLDER')
    install_messages()
    with exit_on_user_error(parser.prog):
        log_on_first_rank_only(args.launcher)
        # by each process: none writes before all have met in the runner
        _refuse_to_mix({'--out': args.out, '--show-dir': args.show_dir})
        cfg = test_config(args)
        check_before_testing(cfg)
        with _no_empty_folder(cfg) if not args.work_dir else nullcontext():
            build_runner(cfg, args, training=False).test()
        if args.pack and is_main_process():
            print_log(f'Packed: {pack_predictions(cfg, args.out)}', 'current')
    disconnect()


def _refuse_to_mix(folders: dict[str, str | None]) -> None:
    """Refuse, with a ValueError, a folder with files in it, such as another test's predictions.

    A test that its launcher starts anew may find its own.
    """
    for flag, folder in folders.items():
        if folder is None or is_restarted_by_launcher():
            continue
        if osp.exists(folder) and not osp.isdir(folder):
            raise ValueError(f'{flag} takes a folder, but {folder} is a file.')
        there = next((path for path in Path(folder).rglob('*') if not path.is_dir()), None)
        if there:
            raise ValueError(
                f'{flag}: {there} is there already: remove {folder}, or name another folder.'
            )


@contextmanager
def _no_empty_folder(cfg: Config) -> Iterator[None]:
    """Leave nothing in the work dir, a training's, but what the console has not shown."""
    with TemporaryDirectory() as scratch:
        work_dir, cfg.work_dir = cfg.work_dir, scratch
        try:
            yield
        finally:
            for path in Path(scratch).iterdir():
                files = [path, *path.rglob('*')]
                if any(f.is_file() and f.suffix not in _OF_MMENGINE for f in files):
                    Path(work_dir).mkdir(parents=True, exist_ok=True)
                    copy = shutil.copytree if path.is_dir() else shutil.copy
                    copy(path, Path(work_dir, path.name))


def test_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/test.py``."""
    parser = runner_parser(
        'Evaluate a segmentor.',
        'log and scores (default: they are shown only)',
        'configs/deeplabv3x_r101_os8_voc.py work_dirs/x/iter_30000.pth --tta',
        'configs/my.py work_dirs/my/iter_4000.pth --fast --show-dir pictures',
    )
    parser.add_argument(
        'checkpoint', type=checkpoint_file, help='weights to evaluate; or a file of tools/export.py'
    )
    parser.add_argument(
        '--out',
        help='new folder for the predictions, as images of class ids; for images without labels '
        'add --cfg-options test_evaluator.format_only=True',
    )
    parser.add_argument(
        '--pack',
        choices=['voc'],
        help="pack the predictions of --out for PASCAL VOC's server, into OUT.tgz beside them; its "
        'test images: --cfg-options test_evaluator.format_only=True '
        'test_dataloader.dataset.ann_file=ImageSets/Segmentation/test.txt',
    )
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument('--show', action='store_true', help='show the predictions in a window')
    pictures.add_argument('--show-dir', help='new folder for pictures of the predictions')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds before --show goes on (default: 2)'
    )
    parser.add_argument(
        '--output-stride',
        type=output_stride,
        metavar='N',
        help='evaluate at this output_stride, whatever the model was trained at',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="mean over scales and flip: the views of the config's tta_pipeline, or the paper's if "
        'it has none',
    )
    parser.add_argument(
        '--scales',
        nargs='+',
        type=scale,
        metavar='S',
        help="with --tta: these scales of the image's own size, as in 0.5 1.0 1.5",
    )
    parser.add_argument('--no-flip', action='store_true', help='with --tta: no mirror images')
    parser.add_argument(
        '--fast',
        action='store_true',
        help='fold BN, use channels_last, keep no logits, on a CPU compute by OpenVINO where it is '
        'installed: the same classes up to rounding',
    )
    parser.add_argument(
        '--fast-runtime', choices=FAST_RUNTIMES, help='with --fast: what computes on a CPU'
    )
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        help='with --fast: what the network computes in; fp16 on a GPU only (default: fp32)',
    )
    parser.add_argument(
        '--runtime', choices=RUNTIMES, help='for an exported file; default: what reads it'
    )
    return parser


def test_config(args: argparse.Namespace) -> Config:
    """The config, ready for a runner, that a command line of :func:`test_parser` asks for.

    Raises:
        ValueError: If ``--output-stride`` meets a model that has none, ``--tta`` a dataset or a
            ``tta_pipeline`` that it cannot change, ``--pack`` a dataset without a list,
            ``--runtime`` a checkpoint, or ``--cfg-options`` misspells a setting.
    """
    cfg = load_config(args)
    exported = exported_model(args.checkpoint, args.runtime)
    if exported:  # which brings its own
        cfg.model, cfg.data_preprocessor = exported, None
    cfg.load_from = None if exported else args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        _draw(cfg, args)
    _log_by_the_clock(cfg)
    if args.output_stride:
        set_output_stride(cfg.model, args.output_stride)
    if args.tta:
        use_tta(cfg, args.scales, False if args.no_flip else None)
    if args.fast:
        # an average is what was loaded: EMAHook would swap it for itself, and its BN is not folded
        hooks = [h for h in cfg.get('custom_hooks') or [] if not builds_one_of(h, EMAHook, HOOKS)]
        hook = dict(
            type='SpeedUpHook', precision=args.precision or 'fp32', runtime=args.fast_runtime
        )
        cfg.custom_hooks = [*hooks, hook]
    if args.out:
        write_predictions(cfg, args.out)
    if args.pack:
        check_packable(cfg)
    # asked for the iteration, as to draw a picture, the runner would build the training data
    cfg.update(dict.fromkeys(('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')))
    return cfg


def _draw(cfg: Config, args: argparse.Namespace) -> None:
    """Draw every image; upstream, only each 50th is drawn."""
    hooks = dict(cfg.get('default_hooks', {}))
    hook = dict(hooks.get('visualization') or dict(type='SegVisualizationHook'))
    if kind_of(hook, HOOKS) is SegVisualizationHook:
        hook['type'] = 'FolderVisualizationHook'
    hook.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
    cfg.default_hooks = dict(hooks, visualization=hook)
    if args.show_dir:
        visualizer = dict(cfg.get('visualizer', dict(type='SegLocalVisualizer')))
        backends = visualizer.get('vis_backends', [])
        backends = [b for b in backends if not builds_one_of(b, LocalVisBackend, VISBACKENDS)]
        # an absolute folder stays what it is; a relative one would be put into the work dir
        backends.append(dict(type='SafeLocalVisBackend', img_save_dir=osp.abspath(args.show_dir)))
        cfg.visualizer = dict(visualizer, vis_backends=backends)


def _log_by_the_clock(cfg: Config) -> None:
    """Let mmengine's logger show progress and time per image; a logger of another type stays."""
    hooks = dict(cfg.get('default_hooks') or {})
    logger = hooks.get('logger', dict(type='LoggerHook'))
    if logger and kind_of(logger, HOOKS) is LoggerHook:
        cfg.default_hooks = dict(hooks, logger=dict(logger, type='ProgressLoggerHook'))
