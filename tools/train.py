"""Train a segmentor: ``python tools/train.py CONFIG``; ``--help`` lists the options."""

from mmseg_deeplabv3x.cli.train import train

if __name__ == '__main__':
    train()
