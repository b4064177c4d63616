"""``tools/export.py``: a checkpoint as a file for other runtimes, compared with PyTorch."""

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS
from torch import Tensor

from ..datasets.reading import read_image
from ..inference.export import FORMATS, ExportableSegmentor, export, metadata_of
from ..inference.exported_segmentor import Runtime
from ..inference.inputs import find_inputs
from ..inference.loading import Loaded, load
from .arguments import checkpoint_file, config_or_dash, output_stride
from .messages import install_messages
from .user_errors import exit_on_user_error

IMAGES = 8  # compared, at most
# The least share of equal pixels with which a file is kept.
BOUNDS = {'fp32': 0.999, 'fp16': 0.97}


def export_model(argv: Sequence[str] | None = None) -> None:
    """Export as the command line, by default that of the process, says."""
    parser = export_parser()
    args = parser.parse_args(argv)
    install_messages()
    with exit_on_user_error(parser.prog):
        for file in (args.out, args.out.with_suffix('.bin'))[: 1 + (args.to == 'openvino')]:
            if file.exists():
                raise ValueError(f'{file} is there already: remove it, or name another file.')
        loaded = load(args.config, args.checkpoint, 'cpu', output_stride=args.output_stride)
        images, source = _images(args, loaded)
        reference = ExportableSegmentor(loaded.model, args.output, args.normalise_inside).eval()
        network = reference
        if args.precision == 'fp16':
            network = ExportableSegmentor(
                copy.deepcopy(loaded.model), args.output, args.normalise_inside, half=True
            ).eval()
        inputs = [_input(loaded, image, args.normalise_inside) for image in images]
        if not args.dynamic:
            inputs = [one for one in inputs if one.shape == inputs[0].shape]
        print(f'Exporting {args.checkpoint} to {args.out} ...', flush=True)
        metadata = metadata_of(reference, loaded.classes, loaded.palette)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=args.out.parent) as folder:
            file = Path(folder, args.out.name)
            export(network, file, args.to, inputs[0], args.dynamic, metadata)
            if args.dynamic:
                inputs += _other_shapes(inputs[0])
            equal = _compare(reference, Runtime(file), inputs, source)
            if equal < BOUNDS[args.precision]:
                raise ValueError(
                    f'{args.out} is not written: only {equal:.2%} of the pixels are as in PyTorch.'
                )
            for part in sorted(Path(folder).iterdir()):  # OpenVINO's .bin before its .xml
                part.replace(args.out.with_name(part.name))
    print(f'Done: {args.out}')


def export_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/export.py``."""
    parser = argparse.ArgumentParser(
        description='Write a trained model as one file for other runtimes, with the padding and '
        'upsampling inside, and compare it with PyTorch.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  %(prog)s - work_dirs/x/iter_30000.pth --to onnx -o model.onnx --dynamic
  %(prog)s CONFIG CHECKPOINT --to openvino -o model.xml --argmax --normalise-inside""",
    )
    parser.add_argument(
        'config', type=config_or_dash, help='config file; - takes the config in the checkpoint'
    )
    parser.add_argument('checkpoint', type=checkpoint_file, help='weights')
    parser.add_argument('--to', required=True, choices=FORMATS, help='pt2 is torch.export')
    parser.add_argument('-o', '--out', required=True, type=Path, help='file to write')
    parser.add_argument(
        '--dynamic',
        action='store_true',
        help='any batch, height and width; default: one image of the size of the first one tried',
    )
    output = parser.add_mutually_exclusive_group()
    output.set_defaults(output='logits')
    for flag, name in (('--argmax', 'classes'), ('--probabilities', 'probabilities')):
        output.add_argument(
            flag, dest='output', action='store_const', const=name, help=f'{name} in place of logits'
        )
    parser.add_argument(
        '--normalise-inside',
        action='store_true',
        help='the input is uint8, RGB; default: float32, normalised',
    )
    parser.add_argument('--output-stride', type=output_stride, metavar='N', help='of the export')
    parser.add_argument('--precision', choices=BOUNDS, default='fp32', help='default: fp32')
    parser.add_argument(
        '--images',
        metavar='DIR',
        help='to compare on; default: those of the config, else coloured spots',
    )
    return parser


def _images(args: argparse.Namespace, loaded: Loaded) -> tuple[list[np.ndarray], str]:
    """Images to compare on, BGR, and where they are from."""
    if args.images:
        found = [one.path for one in find_inputs([args.images]) if not one.is_video]
        if not found:
            raise ValueError(f'--images: {args.images} has videos alone: name a folder of images.')
        return [read_image(str(path)) for path in found[:IMAGES]], args.images
    dataset = (loaded.config.get('test_dataloader') or {}).get('dataset')
    if dataset:
        try:
            with DefaultScope.overwrite_default_scope('mmseg'):
                infos = DATASETS.build(dict(dataset, pipeline=[]))
                found = [infos.get_data_info(i)['img_path'] for i in range(min(IMAGES, len(infos)))]
            return [read_image(path) for path in found], "the config's test images"
        except (OSError, ValueError, KeyError, TypeError):
            pass  # the data need not be where a model is exported
    rng = np.random.default_rng(0)
    spots = rng.integers(0, 256, (2, 30, 40, 3), np.uint8)
    drawn = [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in spots]
    return drawn, "images of coloured spots, since the config's data is not here"


def _input(loaded: Loaded, image: np.ndarray, raw: bool) -> Tensor:
    packed = loaded.transforms(dict(img=np.ascontiguousarray(image)))
    if raw:
        return packed['inputs'].flip(0)[None]
    return loaded.model.data_preprocessor(pseudo_collate([packed]), False)['inputs']


def _other_shapes(image: Tensor) -> list[Tensor]:
    height, width = image.shape[2:]
    part = image[:, :, : height * 3 // 4, : width * 2 // 3]
    return [part, torch.cat([image, image.flip(3)])]


def _compare(
    reference: ExportableSegmentor, runtime: Runtime, inputs: list[Tensor], source: str
) -> float:
    """Print how the two agree, and give the share of equal pixels."""
    equal = pixels = 0
    difference, seconds = 0.0, ([], [])
    by_torch = torch.no_grad()(lambda image: reference(torch.from_numpy(image)).numpy())
    for image in inputs:
        results = []
        for took, run in zip(seconds, (by_torch, runtime)):
            start = time.perf_counter()
            results.append(run(image.numpy()))
            took.append(time.perf_counter() - start)
        theirs, ours = results
        if theirs.ndim == 4:
            difference = max(difference, float(np.abs(theirs - ours).max()))
            theirs, ours = (_classes(reference, scores) for scores in results)
        equal += int((theirs == ours).sum())
        pixels += theirs.size
    theirs, ours = (f'{1000 * median(took):.1f} ms' for took in seconds)
    print(f'{len(inputs)} inputs, of {source}; {torch.get_num_threads()} threads')
    print(f'median time: PyTorch {theirs}, {runtime.name} {ours}')
    print(f'equal pixels: {equal / pixels:.4%} of {pixels}')
    if reference.output != 'classes':
        print(f'largest difference of {reference.output}: {difference:.2g}')
    return equal / pixels


def _classes(reference: ExportableSegmentor, scores: np.ndarray) -> np.ndarray:
    model = reference.model
    if model.out_channels > 1:
        return scores.argmax(1)
    of_1 = scores[:, 1] if reference.output == 'probabilities' else 1 / (1 + np.exp(-scores))
    return of_1 > model.decode_head.threshold
