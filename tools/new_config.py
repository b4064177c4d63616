"""From folders of images and masks to a config: ``python tools/new_config.py --help``."""

import argparse
import os
import os.path as osp
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmseg_deeplabv3x.cli.arguments import as_typed, checkpoint_file, examples, seed
from mmseg_deeplabv3x.cli.messages import install_messages, weights_url
from mmseg_deeplabv3x.cli.shipped_configs import shipped_config
from mmseg_deeplabv3x.cli.user_errors import exit_on_user_error
from mmseg_deeplabv3x.data_check import check_data
from mmseg_deeplabv3x.data_check.report import text
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.inference.loading import read
from mmseg_deeplabv3x.prepare.own_config import check_model, check_weights, own_config
from mmseg_deeplabv3x.prepare.own_dataset import make_own_dataset

BACKBONES = {'resnet18': 18, 'resnet34': 34, 'resnet50': 50, 'resnet101': 101}


def main(argv: Sequence[str] | None = None) -> int:
    """Make lists, masks and a config, and check them.

    Args:
        argv: The arguments. Default: those of the process.

    Returns:
        Exit status: 1 if the check of the data found a problem, else 0.
    """
    parser = new_config_parser()
    args = parser.parse_args(argv)
    out = Path(args.out)
    if out.suffix != '.py':
        parser.error(f'-o takes a .py file, but got {args.out!r}')
    if out.exists():
        parser.error(f'-o: {out} is there already, and is not overwritten')
    if args.checkpoint and args.weights:
        parser.error('--weights are of a backbone: with --from, all comes from its checkpoint')
    if not 0 < args.val_share < 1:
        parser.error(f'--val-share must be between 0 and 1, but got {args.val_share}')
    install_messages()
    with exit_on_user_error(parser.prog):
        depth, weights, model, why = _start(args)
        root = args.root or osp.join('data', out.stem)
        data = make_own_dataset(
            args.images, args.masks, root, args.classes, args.val_share, args.group, args.seed
        )
        base = named = shipped_config('_base_/runtime').parent
        if base.parents[1] in out.absolute().parents:  # both in one checkout
            named = os.path.relpath(base, out.absolute().parent)
        write_file(out, own_config(data, base, named, depth, weights, model))
        report = check_data(Config.fromfile(out))
    print('\n' + '\n'.join([*data.said, why]))
    print(f'\n{text(report)}\n\nWritten: {out}, and {root} with masks and lists. Next:')
    quoted = shlex.quote(str(out))
    shows, trains = (
        as_typed(parser.prog, f'python tools/{name}.py') for name in ('show_data', 'train')
    )
    print(f'  {shows} {quoted}    # a picture of what the network will get')
    print(f'  {trains} {quoted}')
    return 1 if report.problems else 0


def new_config_parser() -> argparse.ArgumentParser:
    """The command line of ``tools/new_config.py``."""
    parser = argparse.ArgumentParser(
        description='Write a config for your own images and masks, and check them.',
        **examples(
            '--images photos --masks labels --classes names.txt -o configs/my.py',
            '--images photos --masks labels --from work_dirs/x/iter_4000.pth -o configs/my.py',
        ),
    )
    add = parser.add_argument
    add('--images', required=True, metavar='DIR', help='folder of images; it stays as it is')
    add(
        '--masks',
        required=True,
        metavar='DIR',
        help='folder of masks of the same names: ids (gray or palette), 0 and 255, or colours',
    )
    add(
        '--classes',
        metavar='FILE',
        help='a name a line, from id 0; with colours "name r g b", or a labelmap.txt of CVAT '
        '(default: the labelmap.txt beside the masks; without one, the ids are the names)',
    )
    add('-o', '--out', required=True, metavar='FILE.py', help='config to write')
    add('--root', metavar='DIR', help='folder to make for masks and lists (default: data/<name>)')
    add(
        '--val-share',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='of the images, to evaluate on, unless they lie in train/ and val/; what lies in '
        'test/ is not drawn (default: 0.2)',
    )
    add(
        '--group',
        metavar='TEXT',
        help='keep images together whose names agree up to the last TEXT: with "_", the frames '
        'drive1_0001.jpg, drive1_0002.jpg, ...',
    )
    add('--seed', type=seed, default=0, help='of the split (default: 0)')
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--backbone', choices=BACKBONES, help='(default: resnet50 with weights, else resnet18)'
    )
    start.add_argument(
        '--from',
        dest='checkpoint',
        type=checkpoint_file,
        metavar='CHECKPOINT',
        help='go on from a trained DeepLabV3 of any classes',
    )
    add(
        '--weights',
        type=_weights,
        metavar='FILE',
        help='of the backbone: a file, or torchvision://resnet50 (default: what PyTorch has '
        'downloaded before, else none)',
    )
    return parser


def _weights(source: str) -> str:
    """Check that weights are there; an address passes that the framework can load from."""
    loader = CheckpointLoader._get_checkpoint_loader(checkpoint_file(source)).__name__
    reads_file = loader in ('load_from_local', 'load_from_file') and not source.startswith('hf://')
    if '://' in source and (reads_file or weights_url(source) is None):
        raise argparse.ArgumentTypeError(
            f'{source!r} is no address of weights that is known; expected a file, or an address as '
            'torchvision://resnet50'
        )
    return source


def _file(weights: str) -> Path | None:
    """Where weights are; None for an address of which PyTorch has downloaded nothing yet."""
    url = weights_url(weights)
    if url.startswith(('http://', 'https://')):
        name = osp.basename(urlparse(url).path)
        weights = Path(torch.hub.get_dir(), 'checkpoints', name)
    return Path(weights) if osp.isfile(weights) else None


def _start(args: argparse.Namespace) -> tuple:
    """Depth of the backbone, weights, the model of a checkpoint, and a sentence on all that."""
    if args.checkpoint:
        model = read(None, args.checkpoint)[0].model
        check_model(model, args.checkpoint)  # before anything is written
        return None, args.checkpoint, model, f'The model is that of {args.checkpoint}.'
    name, weights = args.backbone or 'resnet50', args.weights
    address = f'torchvision://{name}'
    if weights:
        check_weights(weights, BACKBONES[name], _file(weights))  # before anything is written
    elif _file(address):
        weights = address
    if weights:
        return BACKBONES[name], weights, None, f'{name} starts from {weights}.'
    name = args.backbone or 'resnet18'
    why = (
        f'{name} starts from scratch, with BN momentum 0.1, since no --weights are there. Weights '
        f'of ImageNet are worth much with few images: --weights torchvision://{name}.'
    )
    return BACKBONES[name], None, None, why


if __name__ == '__main__':
    sys.exit(main())
