"""Make the Shapes dataset: ``python tools/make_shapes.py``; ``--help`` lists the options."""

import argparse
import sys
from collections.abc import Sequence

from common.shapes_generator import generate_shapes

from mmseg_deeplabv3x.cli.arguments import examples, seed


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the dataset as the command line says; a problem ends it with one sentence.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Draw the Shapes dataset: scenes in which scale and context decide.',
        **examples('', '--root data/tiny --num-train 60 --num-val 12 --size 97 129'),
    )
    add = parser.add_argument
    add('--root', default='data/shapes', help='folder to make (default: %(default)s)')
    add('--num-train', type=int, default=800, help='images to train on (default: 800)')
    add('--num-val', type=int, default=100, help='images to evaluate on (default: 100)')
    add(
        '--size',
        type=int,
        nargs=2,
        default=(145, 193),
        metavar=('H', 'W'),
        help='of the images (default: 145 193)',
    )
    add('--seed', type=seed, default=0, help='of what is drawn (default: 0)')
    add(
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
        sys.exit(f'{parser.prog}: {error}')
    print(f'Shapes: {args.num_train} + {args.num_val} images in {root}')


if __name__ == '__main__':
    main()
