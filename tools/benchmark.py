"""Measure: ``python tools/benchmark.py SUBJECT``; ``--help`` lists the subjects and options."""

import argparse

from mmseg_deeplabv3x.benchmarks import (
    aspp,
    ddp,
    evaluate,
    loader,
    loss,
    metric,
    model,
    pipeline,
    scale,
    shapes,
    taps,
    train,
)

SUBJECTS = {
    module.__name__.rpartition('.')[2]: module
    for module in (
        aspp,
        ddp,
        evaluate,
        loader,
        loss,
        metric,
        model,
        pipeline,
        scale,
        shapes,
        taps,
        train,
    )
}


def main():
    """Parse, call, print."""
    parser = argparse.ArgumentParser(description='Measure, and print a table.')
    subparsers = parser.add_subparsers(dest='subject', required=True)
    for name, module in SUBJECTS.items():
        subparser = subparsers.add_parser(
            name,
            help=module.__doc__.splitlines()[0],
            description=module.__doc__,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(subparser)
    args = parser.parse_args()
    print(SUBJECTS[args.subject].run(args))


if __name__ == '__main__':
    main()
