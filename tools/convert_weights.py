"""Convert published weights: ``python tools/convert_weights.py FILE -o OUT.pth``."""

from mmseg_deeplabv3x.cli.convert_weights import main

if __name__ == '__main__':
    main()
