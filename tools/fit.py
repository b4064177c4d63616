"""Measure which settings fit into the memory: ``python tools/fit.py CONFIG --memory 11GiB``."""

import argparse
import inspect
import json
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_deeplabv3x.cli.arguments import as_typed, config_file, examples
from mmseg_deeplabv3x.cli.messages import install_messages
from mmseg_deeplabv3x.cli.train import train_config, train_parser
from mmseg_deeplabv3x.cli.user_errors import exit_on_user_error
from mmseg_deeplabv3x.models import DeepLabV3
from mmseg_deeplabv3x.transforms.kinds import builds_one_of

GIB = 2**30
RESULT = 'fit.py measured '
LAST_RESORTS = 'output_stride 32', 'crop of 2/3'
ENOUGH = 8  # images for BN, above which crop and output_stride are worth more (Tables 8 to 10)
# what our head and PyTorch say to BN of one image
ONE_IMAGE = 'batch of at least 2 images|more than 1 value per channel'


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print what fits.

    Args:
        argv: The arguments. Default: those of the process.
    """
    parser = argparse.ArgumentParser(
        description='Run some real training steps with each batch and each way to save memory, '
        'every one in a process of its own, and say what fits. Needs no data. Ways that cost more '
        'are tried only where milder ones leave the batch small.',
        **examples(
            'configs/my.py --memory 11GiB --batches 4 8 16',
            'configs/my.py --all --cfg-options model.decode_head.channels=128',
        ),
    )
    parser.add_argument('config', type=config_file, help='config file, or the name of one of ours')
    parser.add_argument(
        '--memory',
        type=_memory,
        metavar='11GiB',
        help="limit (default: all of the GPU's, without one what is free here)",
    )
    parser.add_argument(
        '--batches', type=int, nargs='+', default=[2, 4, 8, 16], help='(default: 2 4 8 16)'
    )
    parser.add_argument('--steps', type=int, default=3, help='to time, after a first (default: 3)')
    parser.add_argument('--all', action='store_true', help='try every way')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='as of tools/train.py; they stand in the command at the end too',
    )
    parser.add_argument('--one', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if min(*args.batches, 2, args.steps) < 1:
        parser.error('--batches and --steps must be at least 1')
    if args.one:
        install_messages()
        print(RESULT + json.dumps(measure(args.config, args.steps, **json.loads(args.one))))
        return
    with exit_on_user_error(parser.prog):
        cfg = _train_config(args.config, args.cfg_options)
        limit = args.memory or _free()
        print(f'{args.config}, limit {limit / GIB:.1f} GiB of {_device()}')
        found, cannot = [], set()  # batch, whether crop and output_stride stay, speed, name, flags
        for name, options in ways(cfg).items():
            mild = not name.endswith(LAST_RESORTS)
            if name != 'AMP' and not args.all and _is_enough(found, args.batches, mild):
                continue
            for batch in sorted({*args.batches} - cannot):
                flags = [*args.cfg_options, *options, f'train_dataloader.batch_size={batch}']
                result = _run(args.config, args.steps, dict(flags=flags, limit=limit))
                if 'cannot' in result:  # in no way, and more images can
                    cannot.add(batch)
                    print(f'  {name:<40} batch {batch:>3}  {"cannot":>10}  {result["cannot"]}')
                    continue
                memory = f'{result["memory"] / GIB:.2f} GiB' if result else 'too much'
                speed = f'{result["speed"]:.2f} images/s' if result else ''
                print(f'  {name:<40} batch {batch:>3}  {memory:>10}  {speed}', flush=True)
                if not result or result['memory'] > limit:
                    break
                found.append((batch, mild, result['speed'], name, flags))
    if not found:
        least = min({*args.batches} - cannot, default=sys.maxsize)
        fewer = '--batches 2, or ' if least > 2 else ''
        sys.exit(f'{parser.prog}: nothing fits: try {fewer}a smaller crop')
    if _is_enough(found, args.batches, False):
        found = [one for one in found if one[1]]
    batch, mild, _, name, flags = max(found)
    print(f'\nThe largest batch that fits, at the highest speed: {batch}, {name}.')
    if not mild:
        print("It changes what is learnt: the paper's Tables 8 (crop) and 10 (output_stride).")
    train = as_typed(parser.prog, 'python tools/train.py')
    amp = ['--amp'] if '--amp' in flags else []
    options = ['--cfg-options', *(flag for flag in flags if flag != '--amp')]
    print(f'  {train} {shlex.join([args.config, *amp, "--auto-scale-lr", *options])}')


def _is_enough(found: list[tuple], batches: Sequence[int], mild: bool) -> bool:
    """Whether a way is not needed: the milder ones before it leave a batch that is large enough."""
    largest = max((batch for batch, is_mild, *_ in found if is_mild), default=0)
    return largest >= (max(batches) if mild else min(max(batches), ENOUGH))


def _train_config(config: str, flags: Sequence[str]) -> Config:
    """What ``tools/train.py`` makes of a config and of flags for it."""
    amp = [flag for flag in flags if flag == '--amp']
    options = [flag for flag in flags if flag != '--amp']
    argv = [config, *amp, *(['--cfg-options', *options] if options else [])]
    return train_config(train_parser().parse_args(argv))


def ways(cfg: Config) -> dict[str, list[str]]:
    """Flags for ``tools/train.py`` that save memory, by name, from none to the last resort."""
    named = {'as it is': [], 'AMP': ['--amp']}
    cp = _checkpointing(cfg)
    if cp:
        named.update({'checkpointing': cp, 'AMP, checkpointing': ['--amp', *cp]})
    most = list(named)[-1]
    if builds_one_of(cfg.model, DeepLabV3, MODELS):
        is_pair = isinstance(cfg.model.get('output_stride'), dict)
        coarse = f'model.output_stride{".train" * is_pair}=32'
        named[f'{most}, {LAST_RESORTS[0]}'] = [*named[most], coarse]
    crop = _smaller_crop(cfg)
    if crop:
        named[f'{most}, {LAST_RESORTS[1]}'] = [*named[most], *crop]
    return named


def _checkpointing(cfg: Config) -> list[str]:
    """Flags for activation checkpointing, of the parts of the model that know it."""
    flags = []
    for path in ('backbone', 'backbone.backbone', 'neck'):
        part = cfg['model']
        for name in path.split('.'):
            part = (part or {}).get(name)
        if part and 'with_cp' in inspect.signature(MODELS.get(part.type)).parameters:
            flags.append(f'model.{path}.with_cp=True')
    return flags


def _smaller_crop(cfg: Config) -> list[str]:
    """Flags for a crop of two thirds, of 16 k + 1 pixels; none where the config has no crop."""
    key, dataset = 'train_dataloader.dataset', cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        key, dataset = f'{key}.dataset', dataset.dataset
    size = (cfg.model.get('data_preprocessor') or {}).get('size')
    steps = [i for i, step in enumerate(dataset.get('pipeline') or []) if 'crop_size' in step]
    if not (size and steps):
        return []
    small = ','.join(str(max(33, side * 2 // 3 // 16 * 16 + 1)) for side in size)
    return [
        f'{key}.pipeline.{steps[0]}.crop_size=({small})',
        f'model.data_preprocessor.size=({small})',
    ]


def measure(config: str, steps: int, flags: list[str], limit: int) -> dict:
    """Train on random images, in this process.

    Returns:
        'memory', the peak in bytes, of a GPU or of the whole process, and 'speed', images a second;
        nothing if it does not fit; 'cannot' and why, if BN has one image alone.
    """
    cfg = _train_config(config, flags)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    on_gpu = torch.cuda.is_available()
    if not on_gpu:  # an end with a message, before the machine runs out
        resource.setrlimit(resource.RLIMIT_DATA, (limit + GIB, limit + GIB))
    try:
        model = MODELS.build(dict(cfg.model)).to('cuda' if on_gpu else 'cpu').train()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        data = _batch(cfg)
        for step in range(steps + 1):
            if step == 1:
                start = _now(on_gpu)
            model.train_step(data, wrapper)
        seconds = _now(on_gpu) - start
    except (RuntimeError, MemoryError) as error:
        if not re.search(
            'memory|alloc|primitive', f'{type(error).__name__} {error}', re.IGNORECASE
        ):
            raise
        return {}
    except ValueError as error:
        if not re.search(ONE_IMAGE, str(error)):
            raise
        return dict(cannot=str(error))
    memory = torch.cuda.max_memory_reserved() if on_gpu else _peak()
    return dict(memory=memory, speed=cfg.train_dataloader.batch_size * steps / seconds)


def _batch(cfg: Config) -> dict:
    size = tuple((cfg.model.get('data_preprocessor') or {}).get('size') or (512, 512))
    head = cfg.model.decode_head
    classes = (head[-1] if isinstance(head, list) else head).get('num_classes', 2)
    number = cfg.train_dataloader.batch_size
    samples = [SegDataSample() for _ in range(number)]
    for sample in samples:
        sample.set_metainfo(dict(img_shape=size, ori_shape=size, pad_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(classes, (1, *size)))
    images = [torch.randint(256, (3, *size), dtype=torch.uint8) for _ in range(number)]
    return dict(inputs=images, data_samples=samples)


def _run(config: str, steps: int, one: dict) -> dict:
    """:func:`measure` in a process of its own, whose memory is that of this setting alone."""
    command = [sys.executable, __file__, config, '--steps', str(steps), '--one', json.dumps(one)]
    process = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in process.stdout.splitlines() if line.startswith(RESULT)]
    if lines:
        return json.loads(lines[-1].removeprefix(RESULT))
    if process.returncode < 0:  # killed, as without memory
        return {}
    said = process.stderr.strip().splitlines() or ['without a word']
    raise SystemExit(f'fit.py: {" ".join(one["flags"])} failed: {said[-1]}')


def _memory(text: str) -> int:
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*(GiB|GB|MiB|MB)', text, re.IGNORECASE)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f'memory is given as 11GiB or 800MiB, but got {text!r}')
    unit = dict(gib=GIB, gb=10**9, mib=2**20, mb=10**6)[match[2].lower()]
    return int(float(match[1]) * unit)


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return 'the CPU, for the process without the workers that load its data'


def _free() -> int:
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return _kib('/proc/meminfo', 'MemAvailable')


def _peak() -> int:
    return _kib('/proc/self/status', 'VmHWM')


def _kib(file: str, name: str) -> int:
    return 1024 * int(re.search(rf'^{name}:\s+(\d+) kB', Path(file).read_text(), re.MULTILINE)[1])


def _now(on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == '__main__':
    main()
