"""The logic of ``tools/convert_weights.py``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..files import written_aside
from ..weights import convert, describe, read_weights
from .arguments import examples
from .user_errors import exit_on_user_error


def main(argv: Sequence[str] | None = None) -> None:
    """Tell what a file of weights holds, and write it under our keys."""
    parser = argparse.ArgumentParser(
        description='Tell which project weights are from and what of them a DeepLabV3 takes. '
        'load_from and init_cfg take the same files as they are; converting is for other tools.',
        **examples('resnet101.pth', 'resnet101.pth -o converted.pth'),
    )
    parser.add_argument('file', help='.pth, .safetensors, .npz, model.ckpt.index, or hf://org/name')
    parser.add_argument('-o', '--out', type=Path, metavar='OUT', help='write them: OUT.pth')
    args = parser.parse_args(argv)
    with exit_on_user_error('convert_weights.py'):
        print(_converted(args.file, args.out))


def _converted(file: str, out: Path | None) -> str:
    if out is not None and (
        out.suffix not in ('.pt', '.pth') or out.resolve() == Path(file).resolve()
    ):
        raise ValueError(f'--out must be another file, its name ending in .pth, but got {out}.')
    state = read_weights(file)
    try:
        report = convert(state)
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from error
    lines = [str(report)]
    network = describe(report)
    if network:
        lines.append(f'backbone: {network}')
    lines.append(f'data_preprocessor: {report.source.images}')
    if out is not None:
        tensors = report.tensors
        if all(key.startswith('backbone.') for key in tensors):  # as a backbone's own are named
            tensors = {key.removeprefix('backbone.'): tensor for key, tensor in tensors.items()}
        with written_aside(out) as aside:
            torch.save({'state_dict': tensors, 'meta': {'source': report.source.name}}, aside)
        lines.append(f'written: {out}')
    return '\n'.join(lines)
