"""The command lines of ``tools/train.py`` and ``tools/test.py``, and what others share with them.

Flags and their meaning are those of mmseg's own tools; the rest is ours.
"""

from __future__ import annotations

import argparse
import os.path as osp

from mmengine.config import DictAction

from ..atrous import check_output_stride


def train_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/train.py``."""
    parser = _parser('Train a segmentor.')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the newest checkpoint in the work dir that loads, or from the one that '
        '--cfg-options load_from=... names; start afresh if there is none yet',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 with a loss scale on a GPU, bfloat16 on a CPU',
    )
    parser.add_argument(
        '--seed', type=_seed, help="seed of all that is random (default: the config's, else 0)"
    )
    return parser


def test_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/test.py``."""
    parser = _parser('Evaluate a segmentor.')
    parser.add_argument('checkpoint', type=_weights, help='weights to evaluate')
    parser.add_argument(
        '--out',
        help='folder for the predictions, as images of class ids; for images without labels add '
        '--cfg-options test_evaluator.format_only=True',
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
    pictures.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds before --show goes on (default: 2)'
    )
    parser.add_argument(
        '--output-stride',
        type=_output_stride,
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
        type=_scale,
        metavar='S',
        help="with --tta: these scales of the image's own size, as in 0.5 1.0 1.5",
    )
    parser.add_argument('--no-flip', action='store_true', help='with --tta: no mirror images')
    parser.add_argument(
        '--fast',
        action='store_true',
        help='fold BN, use channels_last, keep no logits: the same classes up to rounding',
    )
    return parser


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', type=config_file, help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: work_dir of the config, else '
        'work_dirs/<name of the config>)',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (default: none, there is one)',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, as in model.output_stride=8 or key="[a,b]"',
    )


class _Settings(DictAction):
    """mmengine's action, whose errors end the tool as those of other arguments do."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError):
            raise argparse.ArgumentError(
                self, f'expected KEY=VALUE with paired brackets, but got {" ".join(values)!r}'
            ) from None


def config_file(path: str) -> str:
    """Check that a config file, given as an argument, is there."""
    if not osp.isfile(path):
        raise argparse.ArgumentTypeError(f'there is no config file {path!r}; see configs/')
    if not path.endswith(('.py', '.yml', '.yaml', '.json')):
        raise argparse.ArgumentTypeError(f'a config is a .py, .yml or .json file, but got {path!r}')
    return path


def _weights(path: str) -> str:
    if '://' not in path and not osp.isfile(path):
        raise argparse.ArgumentTypeError(f'there is no checkpoint file {path!r}')
    return path


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f'a seed is a whole number from 0 to 4294967295, but got {text!r}'
        )
    return int(text)


def _output_stride(text: str) -> int:
    try:
        return check_output_stride(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float('inf'):
        raise argparse.ArgumentTypeError(
            f"a scale is a number above 0, 1.0 for the image's own size, but got {text!r}"
        )
    return scale
