"""Evaluation of a dataset: mmseg's tools/test.py against ours with --fast, one after the other."""

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mmseg
import numpy as np
import torch
from common.child_process import run_command
from common.markdown_table import markdown_table
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mmseg_deeplabv3x.atrous import aspp_rates
from mmseg_deeplabv3x.cli.arguments import add_cfg_options, config_file
from mmseg_deeplabv3x.datasets.reading import read_mask
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.progress import track

from .baselines import PaperSizedASPPHead
from .interleaved import device
from .timing import spread

THEIR_TOOL = Path(mmseg.__file__).parent / '.mim/tools/test.py'
OUR_TOOL = Path(__file__).parents[1] / 'test.py'
TITLES = ('variant', 'images/s', 'faster', 'CPU time of an image, ms', 'faster by CPU time')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument(
        '--config',
        type=config_file,
        default='configs/deeplabv3x_r18_os16_camvid.py',
        help='one of ours, with its data',
    )
    parser.add_argument('--checkpoint', help='weights for both; random ones if none are given')
    parser.add_argument('--images', type=int, help='the first so many alone')
    parser.add_argument('--batch-size', type=int, default=4, help='of the last two variants')
    parser.add_argument('--rounds', type=int, default=3, help='each variant is timed once a round')
    parser.add_argument('--json', metavar='FILE', help='also write every number')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> str:
    """Evaluate in turns, each time in a process of its own.

    mmseg's tool is run as it is, on mmseg's ``EncoderDecoder``, ``ASPPHead`` with the paper's
    projection, and ``IoUMetric``; its ``ResNet`` has our strides and rates (``AtrousResNet`` adds
    no operation). Both place logits as mmseg does, ``align_corners=False``.

    Timed is all from the end of the first batch to the computed scores: loading (in as many
    processes as the config says), network, metric and log, but not the start.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        A Markdown table: 'median (least to most)' of the rounds; 'faster' is the ratio to the first
        variant within a round; CPU time is that of the main process. Then how many pixels get the
        class that mmseg gives them, how many classes those are, and the mIoU of each variant.

    Raises:
        CommandError: If a tool fails, with the end of its output.
        ValueError: If nothing comes after the first batch.
    """
    if args.images is not None and args.images <= args.batch_size:
        raise ValueError(
            f'--images must be more than --batch-size {args.batch_size}, after whose first batch '
            f'the clock starts, but got {args.images}.'
        )
    with TemporaryDirectory() as folder:
        variants = _variants(args, Path(folder))
        predict = track(variants.values(), 'predictions to compare')
        same, classes = _same_pixels([variant('--out') for variant in predict])
        times = {name: [] for name in variants}
        for _ in track(range(args.rounds), 'rounds'):
            for name, variant in variants.items():
                times[name].append(json.loads(variant().read_text()))
    if args.json:
        record = dict(device=device(), times=times, equal_pixels=same, classes=classes)
        write_file(args.json, json.dumps(record, indent=1) + '\n')
    first = next(iter(times.values()))
    rows = [_row(name, records, first) for name, records in times.items()]
    scores = [f'{name}: {records[0]["mIoU"]:.2f}' for name, records in times.items()]
    return '\n'.join(
        [device(), '', markdown_table(TITLES, rows), '']
        + [f"Pixels with mmseg's class: {', '.join(f'{100 * s:.4f} %' for s in same)}"]
        + [f'Classes predicted: {classes}']
        + [f'mIoU: {", ".join(scores)}']
    )


class ClockHook(Hook):
    """Writes down how long a test took without its start.

    Args:
        file: Where to: JSON of ``images``, ``seconds``, ``cpu_seconds``, ``mIoU``.
    """

    def __init__(self, file: str):
        self.file = Path(file)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: Sequence = ()
    ) -> None:
        """Start the clock after the first batch; count the images of the others."""
        if batch_idx == 0:
            self.images, self.start = 0, (time.perf_counter(), time.process_time())
        else:
            self.images += len(outputs)

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] = None) -> None:
        """Stop it."""
        seconds = time.perf_counter() - self.start[0]
        cpu_seconds = time.process_time() - self.start[1]
        record = dict(images=self.images, seconds=seconds, cpu_seconds=cpu_seconds)
        self.file.write_text(json.dumps(dict(record, mIoU=float(metrics['mIoU']))))


def mmseg_config(cfg: Config) -> Config:
    """The config of mmseg's network with the layers of one of ours, and of mmseg's metric.

    Args:
        cfg: With an ``AtrousResNet``, an ``ImagePoolASPPHead`` and no neck.
    """
    output_stride = cfg.model.output_stride
    if isinstance(output_stride, Mapping):
        output_stride = output_stride['test']
    ours = cfg.model.decode_head
    head = {name: ours[name] for name in ('in_channels', 'num_classes')}
    head.update(channels=ours.get('channels', 256), norm_cfg=ours.get('norm_cfg', dict(type='BN')))
    rates = aspp_rates(ours.get('rates', (6, 12, 18)), output_stride)
    cfg = copy.deepcopy(cfg)
    cfg.model = dict(
        type='EncoderDecoder',
        data_preprocessor=cfg.model.data_preprocessor,
        backbone=dict(cfg.model.backbone, output_stride=output_stride),
        decode_head=dict(
            head,
            type=f'{PaperSizedASPPHead.__module__}.{PaperSizedASPPHead.__name__}',
            dilations=(1, *rates),
            align_corners=False,
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )
    cfg.test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    cfg.custom_hooks = []
    return cfg


def _variants(args, folder):
    """By name, what evaluates once, and gives the folder of predictions or the times' file."""
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    cfg.model.decode_head.align_corners = False
    if args.images:
        cfg.test_dataloader.dataset.indices = args.images
    batches = copy.deepcopy(cfg)
    batches.test_dataloader.update(
        batch_size=args.batch_size, batch_sampler=dict(type='EqualSizeBatchSampler')
    )
    checkpoint = args.checkpoint or _random_weights(cfg, folder / 'weights.pth')
    fast = [OUR_TOOL, '--fast']
    return {
        'mmseg': _variant([THEIR_TOOL], mmseg_config(cfg), checkpoint, folder / 'mmseg'),
        'ours, --fast': _variant(fast, cfg, checkpoint, folder / 'ours'),
        f'ours, --fast, batches of {args.batch_size}': _variant(
            fast, batches, checkpoint, folder / 'batches'
        ),
        f'ours, --fast --precision bf16, batches of {args.batch_size}': _variant(
            [*fast, '--precision', 'bf16'], batches, checkpoint, folder / 'bf16'
        ),
    }


def _variant(tool, cfg, checkpoint, folder):
    cfg = copy.deepcopy(cfg)
    folder.mkdir()
    times, predictions = folder / 'times.json', folder / 'predictions'
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or []),
        dict(type=f'{__name__}.ClockHook', file=str(times)),
    ]
    cfg.dump(folder / 'config.py')

    def evaluate(*flags):
        argv = [tool[0], folder / 'config.py', checkpoint, *tool[1:], '--work-dir', folder]
        if flags:
            argv += [*flags, predictions]
        # mmseg's tool must find the hook and the head of these files
        path = os.pathsep.join([str(OUR_TOOL.parent), os.environ.get('PYTHONPATH', '')])
        run_command([sys.executable, *argv], folder / 'log.txt', show=False, PYTHONPATH=path)
        return predictions if flags else times

    return evaluate


@torch.no_grad()
def _random_weights(cfg, path):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    images = model.data_preprocessor(pseudo_collate([sample]))['inputs']
    # else one class would win everywhere, and any two networks agree
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.cat([images, -images]))
    model.decode_head.conv_seg.bias -= model.eval()(images).mean((0, 2, 3))
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def _same_pixels(folders):
    """Of each folder but the first, the share of pixels as in the first; the classes of that."""
    theirs, *others = (
        {path.name: read_mask(str(path)) for path in folder.iterdir()} for folder in folders
    )
    total = sum(ids.size for ids in theirs.values())
    same = [sum(np.sum(ids == ours[n]) for n, ids in theirs.items()) / total for ours in others]
    return same, len({*np.concatenate([np.unique(ids) for ids in theirs.values()]).tolist()})


def _row(name, records, first):
    cells = [name]
    for key, form, per_image in (('seconds', '.2f', False), ('cpu_seconds', '.0f', True)):
        each = [record[key] / record['images'] for record in records]
        theirs = [record[key] / record['images'] for record in first]
        cells.append(spread([1e3 * t if per_image else 1 / t for t in each], form))
        ratios = [a / b for a, b in zip(theirs, each)]
        cells.append('1' if records is first else spread(ratios, '.2f'))
    return cells
