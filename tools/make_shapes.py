"""Make the embedded Shapes dataset."""

import argparse

from mmseg_deeplabv3x.datasets import generate_shapes


def main():
    """Parse, call, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
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
    args = parser.parse_args()
    root = generate_shapes(
        args.root, args.num_train, args.num_val, tuple(args.size), args.seed, args.overwrite
    )
    print(f'Shapes: {args.num_train} + {args.num_val} images in {root}')


if __name__ == '__main__':
    main()
