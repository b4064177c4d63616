"""Evaluate a segmentor: ``python tools/test.py CONFIG CHECKPOINT``; ``--help`` lists options."""

from mmseg_deeplabv3x.cli.test import test

if __name__ == '__main__':
    test()
