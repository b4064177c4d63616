"""Check the data of a config: ``python tools/check_data.py CONFIG --html report.html``."""

import sys

from mmseg_deeplabv3x.cli.check_data import main

if __name__ == '__main__':
    sys.exit(main())
