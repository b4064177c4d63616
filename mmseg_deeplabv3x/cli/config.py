"""``deeplabv3x config``: one of our configs, written out as a single file to start from."""

import argparse
import os.path as osp
from collections.abc import Sequence

from mmengine.config import Config

from ..files import write_file
from .arguments import config_file, examples
from .user_errors import exit_on_user_error


def main(argv: Sequence[str] | None = None) -> None:
    """Write a config without ``_base_``.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Write a config, and all that it builds upon, as one file to change.',
        **examples('deeplabv3x_r101_os8_voc -o my.py', 'configs/my.py -o all_of_my.py'),
    )
    parser.add_argument('config', type=config_file, help='config file, or the name of one of ours')
    parser.add_argument('-o', '--out', required=True, metavar='FILE.py', help='file to write')
    args = parser.parse_args(argv)
    if not args.out.endswith('.py'):
        parser.error(f'-o takes a .py file, but got {args.out!r}')
    if osp.exists(args.out):
        parser.error(f'-o: {args.out} is there already, and is not overwritten')
    with exit_on_user_error(parser.prog):
        write_file(args.out, Config.fromfile(args.config).pretty_text)
    print(f'Written: {args.out}')
