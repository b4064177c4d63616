"""``tools/prepare_data.py``: from a command line to a dataset."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from ..prepare import annotations, camvid, cityscapes, coco, sbd, voc
from ..prepare.download import DOWNLOADS, DownloadError
from .arguments import as_typed, examples

ERRORS = (ValueError, OSError, ImportError, DownloadError)
COMMANDS = {
    'voc': (voc.prepare_voc, voc.ROOT, 'PASCAL VOC 2012'),
    'sbd': (sbd.prepare_sbd, sbd.ROOT, "VOC's train_aug, with the masks of SBD"),
    'coco': (coco.prepare_coco, coco.ROOT, "COCO 2017 in VOC's classes"),
    'cityscapes': (cityscapes.prepare_cityscapes, cityscapes.ROOT, 'masks of train ids'),
    'camvid': (camvid.prepare_camvid, camvid.ROOT, 'CamVid in 11 classes, as SegNet has it'),
}
TOOLS = {  # of annotation
    'labelme': (annotations.prepare_labelme, 'the JSON files of LabelMe, and their images'),
    'coco-json': (annotations.prepare_coco_json, 'COCO JSON of any tool, and its images'),
    'cvat': (annotations.prepare_cvat, 'CVAT\'s "Segmentation mask", or a folder like VOC\'s'),
}
COMMANDS |= {name: (prepare, annotations.ROOT, text) for name, (prepare, text) in TOOLS.items()}


def prepare_data(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says; a problem ends it with one sentence.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = prepare_parser()
    options = vars(parser.parse_args(argv))
    dataset = options.pop('dataset')
    try:
        print(f'Ready: {COMMANDS[dataset][0](**options)}')
        if dataset in TOOLS:
            root = shlex.quote(options['root'])
            makes = as_typed(parser.prog, 'python tools/new_config.py')
            print(f'Next:\n  {makes} --images {root}/images --masks {root}/masks -o my.py')
    except ERRORS as error:
        sys.exit(f'{parser.prog}: {error}')
    except KeyboardInterrupt:
        how = 'starts anew, nothing is kept' if dataset in TOOLS else 'goes on from here'
        sys.exit(f'{parser.prog}: interrupted; the same command {how}.')


def prepare_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/prepare_data.py``."""
    parser = argparse.ArgumentParser(
        description='From a download to a checked dataset where the configs expect it. What is '
        'there already is kept; an interrupted run goes on. What annotation tools wrote '
        f'({", ".join(TOOLS)}) becomes a new folder, in one go.',
        **examples('camvid', 'voc --from VOCtrainval_11-May-2012.tar'),
    )
    commands = parser.add_subparsers(dest='dataset', required=True, metavar='DATASET')
    for name, (_, root, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument('--root', default=root, help=f'folder to make (default: {root})')
        sub.add_argument(
            '--from',
            dest='sources',
            nargs='+',
            default=[],
            metavar='PATH',
            help='folders and archives (.zip, .tar, .tgz) that hold it; they are not changed',
        )
        if name == 'cityscapes':
            sub.epilog = cityscapes.HOW_TO_GET
        elif name not in TOOLS:
            sub.add_argument(
                '--downloads',
                default=DOWNLOADS,
                help='folder for what is downloaded, if nothing is given and nothing is there '
                '(default: %(default)s)',
            )
        if name == 'coco':
            sub.add_argument(
                '--min-pixels',
                type=int,
                default=coco.MIN_PIXELS,
                help="keep images with more pixels than this of VOC's objects (default: "
                '%(default)s, as in the paper)',
            )
    return parser
