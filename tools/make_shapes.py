"""Make the Shapes dataset: ``python tools/make_shapes.py``; ``--help`` lists the options."""

import argparse
import sys
from collections.abc import Sequence

from common.shapes_generator import generate_shapes


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the dataset as the command line says; a problem ends it with one sentence.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Make the Shapes dataset.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--root', default='data/shapes', help='folder to make')
    parser.add_argument('--num-train', type=int, default=800, help='images to train on')
    parser.add_argument('--num-val', type=int, default=100, help='images to evaluate on')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(145, 193), metavar=('H', 'W'), help='image size'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a root made with other arguments, or one that lacks files',
    )
    args = parser.parse_args(argv)
    try:
        root = generate_shapes(
            args.root, args.num_train, args.num_val, tuple(args.size), args.seed, args.overwrite
        )
    except (ValueError, OSError) as error:
        sys.exit(f'make_shapes.py: {error}')
    print(f'Shapes: {args.num_train} + {args.num_val} images in {root}')


if __name__ == '__main__':
    main()
