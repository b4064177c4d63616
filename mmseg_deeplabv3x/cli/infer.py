"""``tools/infer.py``: masks and pictures of a user's own images."""

import argparse
import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from ..datasets.reading import read_image
from ..files import remove_unfinished, write_file
from ..inference.exported_segmentor import RUNTIMES
from ..inference.inputs import Input, find_inputs
from ..inference.loading import read
from ..inference.predictor import DeepLabV3Predictor
from ..inference.segmentation import Segmentation, write_png
from ..inference.video import segment_video
from ..models.segmentors.fast_prediction import FAST_RUNTIMES, PRECISIONS
from ..progress import Progress
from ..visualization import LegendVisualizer
from .arguments import at_least_1, checkpoint_file, config_or_dash, output_stride
from .infer_settings import keep_settings
from .messages import install_messages
from .tta import use_tta
from .user_errors import exit_on_user_error
from .zoo import ZOO, from_zoo

_OF_IMAGES = ('pictures', 'shares', 'coco')  # flags for what videos do not get


def infer(argv: Sequence[str] | None = None) -> int:
    """Predict as the command line, by default that of the process, says.

    The exit status is 1 if a file could not be read or written, else 0.
    """
    parser = infer_parser()
    args = _parse(parser, argv)
    install_messages()
    # above 89 million pixels Pillow warns; above twice as many, the image is refused and listed
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)
    named = _listed() if args.inputs == ['-'] else args.inputs
    with exit_on_user_error(parser.prog):
        inputs = find_inputs(named, [args.out / kind for kind in ('masks', 'overlays', 'pictures')])
        jobs = _Jobs(args, inputs)
        jobs.refuse_to_overwrite()
        jobs.check_videos()
        predictor = _predictor(args)
        keep_settings(args)
    return jobs.run(predictor)


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Tell config and checkpoint from inputs: with ``--zoo`` there are inputs alone."""
    args = parser.parse_args(argv)
    if args.fast_runtime and not args.fast:
        parser.error('--fast-runtime is for --fast: add --fast')
    args.config, args.checkpoint, args.inputs = None, None, args.words
    if not args.zoo:
        if len(args.words) < 3:
            parser.error('expected CONFIG, CHECKPOINT and at least one INPUT, or --zoo and INPUT')
        try:
            args.config = config_or_dash(args.words[0])
            args.checkpoint = checkpoint_file(args.words[1])
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
        args.inputs = args.words[2:]
    return args


def infer_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/infer.py``."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s CONFIG CHECKPOINT INPUT [INPUT ...] -o OUT [options]\n'
        '       %(prog)s --zoo NAME INPUT [INPUT ...] -o OUT [options]',
        description='Segment images, folders of images and videos.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  %(prog)s - work_dirs/x/iter_30000.pth photos -o results
  %(prog)s --zoo r101-voc photos -o results
  %(prog)s configs/deeplabv3x_r101_os8_voc.py weights.pth a.jpg 'more/**/*.png' -o results --tta""",
    )
    parser.add_argument(
        'words',
        nargs='+',
        metavar='CONFIG CHECKPOINT INPUT',
        help='CONFIG: a file; - takes the config in the checkpoint. CHECKPOINT: weights; or a file '
        'of tools/export.py, which needs no config: give -. INPUT: images, videos, folders '
        '(sub-folders are kept) and patterns; - reads a list on stdin',
    )
    parser.add_argument(
        '--zoo',
        choices=ZOO,
        help="in place of CONFIG and CHECKPOINT: one of mmseg's published models, downloaded once",
    )
    parser.add_argument(
        '-o',
        '--out',
        required=True,
        type=Path,
        help='folder for masks/ (PNG of class ids with palette), overlays/ and the rest',
    )
    parser.add_argument(
        '--pictures', action='store_true', help='also pictures/: image | prediction, over a legend'
    )
    parser.add_argument(
        '--shares',
        action='store_true',
        help='also shares.csv: share of the pixels by image and class',
    )
    parser.add_argument(
        '--coco', action='store_true', help='also coco.json: outlines of the regions, by image'
    )
    parser.add_argument(
        '--tta', action='store_true', help="mean over scales and flip, as tools/test.py's"
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='fold BN, use channels_last, on a CPU compute by OpenVINO where it is installed, '
        'after a start of some seconds: the same classes up to rounding',
    )
    parser.add_argument(
        '--fast-runtime', choices=FAST_RUNTIMES, help='with --fast: what computes on a CPU'
    )
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32', help='default: fp32')
    parser.add_argument(
        '--output-stride', type=output_stride, metavar='N', help='predict at this output_stride'
    )
    parser.add_argument(
        '--runtime', choices=RUNTIMES, help='for an exported file; default: what reads it'
    )
    parser.add_argument('--device', help='cpu, cuda:1, ...; default: the first GPU, else the CPU')
    parser.add_argument(
        '--batch',
        type=at_least_1,
        default=1,
        metavar='N',
        help='images of one size that go through the network together (default: 1)',
    )
    parser.add_argument(
        '--slide',
        nargs=2,
        type=at_least_1,
        metavar=('CROP', 'STRIDE'),
        help='cut images into tiles of CROP pixels a side; default: tiles of 1025, for images of '
        'more than 4 million pixels only',
    )
    parser.add_argument(
        '--resume', action='store_true', help='go on: images whose mask is there are left out'
    )
    return parser


def _listed() -> list[str]:
    """The names on stdin, one a line; a name may be in any encoding, as of files on a disk."""
    lines = os.fsdecode(sys.stdin.buffer.read()).split('\n')
    return [line.removesuffix('\r') for line in lines if line.strip()]


def _predictor(args: argparse.Namespace) -> DeepLabV3Predictor:
    config = args.config
    if args.zoo:
        config, args.checkpoint = from_zoo(args.zoo)
    if args.tta:
        config, _ = read(config, args.checkpoint, args.runtime)
        use_tta(config)
    predictor = DeepLabV3Predictor(
        config,
        args.checkpoint,
        device=args.device,
        fast=args.fast,
        precision=args.precision,
        output_stride=args.output_stride,
        slide=args.slide and tuple(args.slide),
        runtime=args.runtime,
        fast_runtime=args.fast_runtime,
    )
    if args.fast and not predictor.fast:
        raise ValueError(
            '--fast calls speed_up() of the model, which stock models and exported files have not: '
            'leave it out.'
        )
    return predictor


class _Jobs:
    """The images of one call, and where their results go."""

    def __init__(self, args: argparse.Namespace, inputs: list[Input]):
        self.args, self.inputs, self.out = args, inputs, args.out
        self.failures = []

    def _place(self, kind: str, one: Input) -> Path:
        suffix = '.mp4' if one.is_video else '.png'
        return self.out / kind / f'{one.name}{suffix}'

    def _result(self, one: Input) -> Path:
        """The file that is written last: all is done where it is there."""
        return self._place('overlays' if one.is_video else 'masks', one)

    def refuse_to_overwrite(self) -> None:
        """Refuse to replace results of another call.

        Raises:
            ValueError: If one is there, without ``--resume``, or a file in the folder's place.
        """
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f'-o takes a folder, but {self.out} is a file.')
        there = [one for one in self.inputs if self._result(one).exists()]
        if there and not self.args.resume:
            raise ValueError(
                f'{self._result(there[0])} is there already, and {len(there) - 1} more: add '
                '--resume to go on with what is missing, or name another folder with -o.'
            )

    def check_videos(self) -> None:
        """Refuse, with a ValueError, what only images get if all are videos; else say so once."""
        flags = [f'--{flag}' for flag in _OF_IMAGES if getattr(self.args, flag)]
        videos = [one for one in self.inputs if one.is_video]
        if not flags or not videos:
            return
        text, video = f'{", ".join(flags)}: only images get that', videos[0].path
        if len(videos) == len(self.inputs):
            raise ValueError(f'{text}, and all inputs are videos, such as {video}: leave it out.')
        print(f'{text}; videos, such as {video}, get overlays.')

    def run(self, predictor: DeepLabV3Predictor) -> int:
        """Predict one after the other; what fails is listed at the end."""
        todo = [one for one in self.inputs if not self._result(one).exists()]
        for folder in {self._result(one).parent for one in todo}:
            remove_unfinished(folder)
        images = [one for one in todo if not one.is_video]
        if images:
            with Progress('Images', len(images)) as progress:
                for start in range(0, len(images), self.args.batch):
                    batch = images[start : start + self.args.batch]
                    self._segment(predictor, batch)
                    progress.advance(len(batch))
        for one in todo:
            if one.is_video:
                with self._listing_failures(one):
                    self._segment_video(predictor, one)
        if self.args.shares:
            self._write_shares(predictor)
        if self.args.coco:
            self._write_coco(predictor)
        print(f'{len(self.inputs) - len(self.failures)} of {len(self.inputs)} done: {self.out}')
        for failure in self.failures:
            print(f'Failed: {failure}', file=sys.stderr)
        return 1 if self.failures else 0

    @contextmanager
    def _listing_failures(self, one: Input) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            self.failures.append(f'{one.path}: {error}')

    def _results_of(self, predictor: DeepLabV3Predictor, images: dict) -> Iterator[tuple]:
        """Each image with its result; one that an exported file does not take is listed."""
        try:
            yield from zip(images, predictor(list(images.values()), 'bgr', self.args.batch))
        except ValueError:
            for one, image in images.items():
                with self._listing_failures(one):
                    yield one, predictor(image, 'bgr')

    def _segment(self, predictor: DeepLabV3Predictor, batch: list[Input]) -> None:
        images = {}
        for one in batch:
            with self._listing_failures(one):
                images[one] = read_image(one.path)
        for one, result in self._results_of(predictor, images):
            with self._listing_failures(one):
                write_png(self._place('overlays', one), Image.fromarray(result.overlay()))
                if self.args.pictures:
                    _draw(result, self._place('pictures', one))
                result.save(self._place('masks', one))  # last: --resume looks for it

    def _segment_video(self, predictor: DeepLabV3Predictor, one: Input) -> None:
        with Progress(f'Frames of {one.path.name}') as progress:

            def show(done: int, total: int) -> None:
                progress.total = total or None
                progress.advance()

            segment_video(predictor, one.path, self._place('overlays', one), show)

    def _results(self, predictor: DeepLabV3Predictor) -> Iterator[tuple[str, Segmentation]]:
        """Images and their masks, also those of a call that this one goes on with."""
        for one in self.inputs:
            mask = self._place('masks', one)
            if not one.is_video and mask.exists():
                ids = np.asarray(Image.open(mask))
                yield str(one.path), Segmentation(ids, predictor.classes, predictor.palette, None)

    def _write_shares(self, predictor: DeepLabV3Predictor) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator='\n')
        table.writerow(['image', *predictor.classes])
        for name, result in self._results(predictor):
            table.writerow([name, *(f'{share:.6f}' for share in result.shares().values())])
        write_file(self.out / 'shares.csv', text.getvalue().encode(errors='surrogateescape'))

    def _write_coco(self, predictor: DeepLabV3Predictor) -> None:
        images, annotations = [], []
        for name, result in self._results(predictor):
            height, width = result.mask.shape
            images.append(dict(id=len(images) + 1, file_name=name, height=height, width=width))
            for region in result.polygons():
                number = len(annotations) + 1
                annotations.append(dict(id=number, image_id=len(images), **region))
        categories = [dict(id=number, name=name) for number, name in enumerate(predictor.classes)]
        content = dict(images=images, categories=categories, annotations=annotations)
        write_file(self.out / 'coco.json', json.dumps(content))


def _draw(result: Segmentation, path: Path) -> None:
    """Write image and prediction side by side, over a legend."""
    visualizer = LegendVisualizer()
    visualizer.dataset_meta = dict(classes=result.classes, palette=result.palette)
    mask = torch.from_numpy(result.mask.astype(np.int64))[None]
    sample = SegDataSample(pred_sem_seg=PixelData(data=mask))
    visualizer.add_datasample(path.name, result.image, sample, out_file=str(path))
