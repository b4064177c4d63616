"""``tools/pack_voc.py``: from a command line to an archive for PASCAL VOC's server."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.voc_archive import pack_voc
from .arguments import examples


def main(argv: Sequence[str] | None = None) -> None:
    """Pack predictions as the command line says; a problem ends it with one sentence.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description="Pack predictions for PASCAL VOC's evaluation server.",
        **examples(
            'results data/VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt',
            'results data/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt -o val.tgz',
        ),
    )
    parser.add_argument('predictions', help='folder of NAME.png, as tools/test.py --out writes')
    parser.add_argument('split', help='list of names: VOC2012/ImageSets/Segmentation/test.txt')
    parser.add_argument('-o', '--out', default='results.tgz', help='default: %(default)s')
    args = parser.parse_args(argv)
    try:
        root = Path(args.split).resolve().parents[2]
        print(pack_voc(args.predictions, root, args.split, args.out))
    except (ValueError, OSError) as error:
        sys.exit(f'pack_voc.py: {error}')
