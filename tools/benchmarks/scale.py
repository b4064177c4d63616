"""A training step and a prediction against crop, batch, output_stride and number of classes."""

import argparse
import io
import json
from statistics import median
from typing import NamedTuple

import torch
from common.markdown_table import markdown_table
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_deeplabv3x.cli.arguments import add_cfg_options, config_file
from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.paper.network import count_flops
from mmseg_deeplabv3x.progress import track

from .interleaved import add_arguments as add_common
from .interleaved import compare, device
from .timing import spread

KINDS = ('training step', 'prediction')
NOTE = (
    'per pixel, per FLOP: over that of the first row, divided by the same of the '
    'pixels and the FLOPs; 1 is in proportion, more is dearer'
)


class Point(NamedTuple):
    """What is varied, one at a time."""

    crop: int
    batch: int
    output_stride: int
    classes: int

    @property
    def pixels(self) -> int:
        """Of all images together."""
        return self.batch * self.crop**2


DEFAULTS = Point([513, 321, 769, 1025], [2, 1, 4, 8, 16], [16, 8, 32], [21, 60, 150])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument('config', type=config_file, help='config of the network and its optimizer')
    for axis, values in DEFAULTS._asdict().items():
        parser.add_argument(
            f'--{axis.replace("_", "-")}',
            type=int,
            nargs='+',
            default=values,
            help='the values; the first one is kept while the others are varied',
        )
    add_cfg_options(parser)
    add_common(parser, rounds=3)


def run(args: argparse.Namespace) -> str:
    """Time and count both at a base point, and with one thing changed at a time.

    A training step is the one that ``tools/train.py`` takes, on images that are loaded already.
    The BN after the image pooling is in evaluation mode throughout, since it cannot train on a
    single image. FLOPs are those of convolutions and matrix products, as PyTorch counts them.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        Markdown tables; times are 'median (least to most)' of rounds that go through all cases in
        turn, memory is the peak of all new tensors, beside the weights and the optimizer's state.

    Raises:
        ValueError: If the config's model is no ``DeepLabV3``.
    """
    torch.set_num_threads(args.threads)
    axes = {axis: getattr(args, axis) for axis in Point._fields}
    base = Point(*(values[0] for values in axes.values()))
    points = {
        (axis, value): base._replace(**{axis: value})
        for axis, values in axes.items()
        for value in sorted(set(values))
    }
    networks = {
        (stride, classes): load_network(
            args.config,
            args.cfg_options,
            **{'model.output_stride': stride, 'model.decode_head.num_classes': classes},
        )
        for stride, classes in sorted({point[2:] for point in points.values()})
    }
    for stride_and_classes, (model, optimizer) in networks.items():
        if torch.cuda.is_available():
            model.cuda()
        # what the optimizer keeps is no part of a step's memory
        _step(KINDS[0], Point(33, 2, *stride_and_classes), model, optimizer)()
    variants = {
        (kind, point): _step(kind, point, *networks[point[2:]])
        for point in sorted(set(points.values()))
        for kind in KINDS
    }
    counted = track(variants.items(), 'FLOPs', len(variants))
    flops = {case: count_flops(variant) for case, variant in counted}
    measured = compare('cost', variants, args.rounds)['variants']
    rows = [
        dict(kind=kind, axis=axis, value=value, flop=flops[kind, point], **measured[kind, point])
        for kind in KINDS
        for (axis, value), point in points.items()
    ]
    if args.json:
        record = dict(device=device(), torch=torch.__version__, base=base._asdict(), rows=rows)
        write_file(args.json, json.dumps(record, indent=1) + '\n')
    if args.plot:
        write_file(args.plot, _plot(rows, base))
    tables = [_table([row for row in rows if row['kind'] == kind], points, base) for kind in KINDS]
    return '\n\n'.join([device(), *tables, NOTE])


def load_network(config: str, options: dict, **changes) -> tuple[nn.Module, object]:
    """Build the network of a config, with random weights, and its optimizer.

    Args:
        config: The file.
        options: Settings to override, as of ``--cfg-options``.
        **changes: More of them.

    Returns:
        The network and its ``OptimWrapper``.

    Raises:
        ValueError: If the config's model is no ``DeepLabV3``.
    """
    cfg = Config.fromfile(config)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    cfg.merge_from_dict({**options, **changes})
    if cfg.model.type != 'DeepLabV3':
        raise ValueError(f'{config}: the model must be a DeepLabV3, but is a {cfg.model.type}.')
    # the images have one size each time, whatever the config pads to
    cfg.model.data_preprocessor.update(size=None, size_divisor=1)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def random_batch(point: Point) -> dict:
    """A batch as a data loader gives it: images (3, H, W) of bytes, and samples with labels."""
    generator = torch.Generator().manual_seed(0)
    size = (point.crop, point.crop)

    def integers(high, channels):
        return torch.randint(high, (channels, *size), dtype=torch.uint8, generator=generator)

    samples = []
    for _ in range(point.batch):
        sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
        sample.gt_sem_seg = PixelData(data=integers(point.classes, 1).long())
        samples.append(sample)
    return dict(inputs=[integers(256, 3) for _ in samples], data_samples=samples)


def _step(kind, point, model, optimizer):
    batch = random_batch(point)

    def train():
        _all_but_pooled_bn_train(model)
        model.train_step(batch, optimizer)

    @torch.inference_mode()
    def predict():
        samples = [sample.clone() for sample in batch['data_samples']]
        model.eval().test_step(dict(batch, data_samples=samples))

    return train if kind == KINDS[0] else predict


def _all_but_pooled_bn_train(model):
    model.train()
    pooling = getattr(model.decode_head, 'image_pool', None)
    if pooling is not None:
        pooling.eval()


def _ratios(row, first, point, base):
    """Time per pixel, time per FLOP and memory per pixel, over the first row's."""
    time_ratio = median(a / b for a, b in zip(row['ms'], first['ms']))
    pixels = point.pixels / base.pixels
    flop_ratio = row['flop'] / first['flop']
    return time_ratio / pixels, time_ratio / flop_ratio, row['mib'] / first['mib'] / pixels


def _table(rows, points, base):
    first = next(row for row in rows if points[row['axis'], row['value']] == base)
    titles = [first['kind'], 'ms', 'ms per pixel', 'ms per FLOP', 'MiB', 'MiB per pixel']
    table = []
    whole = ', '.join(f'{axis} {value}' for axis, value in base._asdict().items())
    others = [row for row in rows if points[row['axis'], row['value']] != base]
    for row in [first, *others]:
        ratios = _ratios(row, first, points[row['axis'], row['value']], base)
        per_pixel, per_flop, memory = (f'{ratio:.2f}' for ratio in ratios)
        name = whole if row is first else f'{row["axis"]} {row["value"]}'
        cells = [name, spread(row['ms'], '.0f'), per_pixel, per_flop, f'{row["mib"]:.0f}', memory]
        table.append(cells)
    return markdown_table(titles, table)


def _plot(rows, base):
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    figure = Figure(figsize=(13, 6), layout='constrained')
    panels = figure.subplots(len(KINDS), len(Point._fields))
    for kind, line in zip(KINDS, panels):
        for axis, panel in zip(Point._fields, line):
            shown = [row for row in rows if (row['kind'], row['axis']) == (kind, axis)]
            first = next(row for row in shown if row['value'] == getattr(base, axis))
            values = [row['value'] for row in shown]
            seconds = [median(row['ms']) / 1e3 for row in shown]
            work = [median(first['ms']) / 1e3 * row['flop'] / first['flop'] for row in shown]
            memory = panel.twinx()
            (measured,) = panel.plot(values, seconds, 'o-', color='tab:blue')
            (expected,) = panel.plot(values, work, '--', color='0.5')
            (used,) = memory.plot(values, [row['mib'] for row in shown], 's:', color='tab:orange')
            panel.set_ylim(0)
            memory.set_ylim(0)
            panel.set_xticks(values)
            panel.set_xlabel(axis.replace('_', ' '))
            if panel is line[0]:
                panel.set_ylabel(f'{kind}, s')
            if panel is line[-1]:
                memory.set_ylabel('MiB')
    names = ['time', 'time in proportion to FLOPs', 'memory']
    figure.legend([measured, expected, used], names, loc='outside upper center', ncols=3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=80)
    return buffer.getvalue()
