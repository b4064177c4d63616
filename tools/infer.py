"""Segment your own images: ``python tools/infer.py CONFIG CHECKPOINT IMAGES -o OUT``."""

import sys

from mmseg_deeplabv3x.cli.infer import infer

if __name__ == '__main__':
    sys.exit(infer())
