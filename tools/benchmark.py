"""Measure: ``python tools/benchmark.py SUBJECT``; ``--help`` lists the subjects and options."""

import argparse
from importlib import import_module

from mmseg_deeplabv3x.cli.arguments import examples
from mmseg_deeplabv3x.cli.messages import install_messages

SUBJECTS = (
    'aspp',
    'async_replicas',
    'camvid',
    'ddp',
    'evaluate',
    'findings',
    'loader',
    'loss',
    'metric',
    'model',
    'pipeline',
    'scale',
    'shapes',
    'valid_tap_conv',
    'train',
)


def main():
    """Parse, call, print."""
    parser = argparse.ArgumentParser(
        description='Measure, and print a table.',
        **examples('pipeline', 'loader configs/my.py --workers 0 2 4'),
    )
    subparsers = parser.add_subparsers(dest='subject', required=True)
    for name in SUBJECTS:
        module = import_module(f'benchmarks.{name}')
        subparser = subparsers.add_parser(
            name,
            help=module.__doc__.splitlines()[0],
            description=module.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    args = parser.parse_args()
    install_messages()
    print(args.run(args))


if __name__ == '__main__':
    main()
