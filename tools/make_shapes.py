"""Make the embedded Shapes dataset: ``python tools/make_shapes.py --help``."""

from mmseg_deeplabv3x.cli.make_shapes import main

if __name__ == '__main__':
    main()
