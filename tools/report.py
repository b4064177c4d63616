"""A page about a training: ``python tools/report.py WORK_DIR [OTHERS...]``."""

from mmseg_deeplabv3x.cli.report import main

if __name__ == '__main__':
    main()
