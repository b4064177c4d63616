"""Make datasets ready: ``python tools/prepare_data.py --help`` lists them."""

from mmseg_deeplabv3x.cli.prepare_data import prepare_data

if __name__ == '__main__':
    prepare_data()
