"""From nothing to pictures in some minutes; ``make demo`` runs it."""

import argparse
from pathlib import Path

from mmseg_deeplabv3x.demo import main

if __name__ == '__main__':
    argparse.ArgumentParser(
        description='Draw the Shapes data set into data/shapes, train a small DeepLabv3 on it, '
        'evaluate it and draw its predictions into work_dirs/demo: some minutes.'
    ).parse_args()
    main(Path(__file__).resolve().parents[1])
