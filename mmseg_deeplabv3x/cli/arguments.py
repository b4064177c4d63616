"""What the command lines have in common.

Flags and their meaning are those of mmseg's own tools; the rest is ours.
"""

import argparse
import os.path as osp

from mmengine.config import DictAction

from ..atrous import check_output_stride


def runner_parser(description: str, work_dir: str) -> argparse.ArgumentParser:
    """A parser with what training and evaluation share; ``work_dir`` says what goes there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', type=config_file, help='config file')
    parser.add_argument('--work-dir', help=f'folder for {work_dir}')
    parser.add_argument(
        '--other-classes',
        action='store_true',
        help='take a checkpoint whose classes have other names or another order',
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


def config_or_dash(path: str) -> str | None:
    """Check a config file; - stands for the config in the checkpoint, None."""
    return None if path == '-' else config_file(path)


def checkpoint_file(path: str) -> str:
    """Check that a checkpoint, given as an argument, is there; an address passes."""
    if '://' not in path and not osp.isfile(path):
        raise argparse.ArgumentTypeError(f'there is no checkpoint file {path!r}')
    return path


def seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f'a seed is a whole number from 0 to 4294967295, but got {text!r}'
        )
    return int(text)


def output_stride(text: str) -> int:
    """Read an output_stride."""
    try:
        return check_output_stride(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def scale(text: str) -> float:
    """Read a scale of images."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(
            f"a scale is a number above 0, 1.0 for the image's own size, but got {text!r}"
        )
    return value
