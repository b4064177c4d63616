"""The logic of ``tools/check_data.py``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from ..data_check.html_report import page
from ..data_check.report import as_json, check_data, text
from ..files import write_file
from .arguments import add_cfg_options, config_file, examples
from .config_errors import check_spelling
from .messages import install_messages
from .user_errors import exit_on_user_error


def main(argv: Sequence[str] | None = None) -> int:
    """Check the data of a config, print and write what was found.

    Args:
        argv: The arguments. Default: those of the process.

    Returns:
        Exit status: 1 if anything is wrong, else 0.
    """
    parser = argparse.ArgumentParser(
        description='Read every image and mask of a config and tell what is wrong.',
        **examples('configs/my.py', 'configs/my.py --html report.html --json report.json'),
    )
    parser.add_argument('config', type=config_file, help='config file')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all that was found')
    parser.add_argument(
        '--html', type=Path, metavar='FILE', help='write a page with pictures of what is wrong'
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    install_messages()
    with exit_on_user_error(parser.prog):
        cfg = Config.fromfile(args.config)
        check_spelling(args.cfg_options, cfg)
        cfg.merge_from_dict(args.cfg_options)
        report = check_data(cfg)
    print(f'\n{text(report)}')
    if args.json:
        write_file(args.json, as_json(report))
    if args.html:
        write_file(args.html, page(report, f'Data of {args.config}'))
    return 1 if report.problems else 0
