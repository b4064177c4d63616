"""The paper's findings in small: CamVid at half size, from the pretrained EfficientNet-Lite0."""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common.markdown_table import markdown_table

from mmseg_deeplabv3x.files import write_file, written_aside
from mmseg_deeplabv3x.paper.rows import ROWS

from .camvid import add_arguments as add_camvid_arguments
from .camvid import train_variants
from .camvid_report import standard_error, with_error
from .camvid_variants import PAPER_RATE

STRIDES = (8, 32)  # of the evaluation, beside 16
TRIMAP_WIDTH = 3
# most of the pixels, and the thinnest things
LARGE, THIN = ('sky', 'building', 'road', 'tree'), ('pole', 'signsymbol', 'pedestrian')

LEGEND = (
    'paper, here: difference of mIoU to the reference, the last row above without differences, '
    'seed by seed, ± the standard error of its mean. The same of thin classes '
    f'({", ".join(THIN)}), of large ones ({", ".join(LARGE)}), and of the pixels within '
    f'{TRIMAP_WIDTH} of a boundary. The finding '
    "shows if two standard errors leave the paper's sign, and does not if they leave less than "
    "half of the paper's difference."
)


@dataclass(frozen=True)
class Finding:
    """A row of a table in small; compared with the first one of its table and rate."""

    table: int
    change: str  # in words
    variant: str  # of benchmarks.camvid_variants
    published: str = ''  # the row of the paper
    stride: int = 16  # output_stride of the evaluation
    rate: float = 0.05  # of the optimizer; the config's

    @property
    def miou(self) -> float | None:
        """Published, in percent; None if the paper has no such row."""
        return ROWS[self.published].miou if self.published else None


def _table_10():
    for trained, variant in ((16, 'reference'), (8, 'trained_at_8'), (32, 'trained_at_32')):
        for stride in (16, 8, 32):
            row = f'table10/train{trained}-eval{stride}'
            words = f'trained at {trained}, evaluated at {stride}'
            yield Finding(10, words, variant, row if row in ROWS else '', stride)


FINDINGS = (
    Finding(5, 'rates 6, 12, 18 and image pooling', 'reference', 'table5/mg124-pool'),
    Finding(5, 'without image pooling', 'no_image_pool', 'table5/mg124'),
    Finding(5, 'rates 6, 12, 18, 24, without image pooling', 'rates_4', 'table5/mg124-rates4'),
    Finding(5, '1x1 convolutions in place of ASPP', 'no_aspp', 'table3/mg124-block4'),
    Finding(8, 'as in the config', 'reference', 'table8/reference'),
    Finding(8, 'labels down-sampled', 'labels_down', 'table8/labels-down'),
    Finding(8, 'crop of 321/513', 'small_crop', 'table8/crop321'),
    # with BN frozen 0.05 is too much: seed 0 diverged within its first six iterations
    Finding(8, 'rate of 0.007', 'rate_paper', 'table8/reference', rate=PAPER_RATE),
    Finding(8, 'rate of 0.007, BN frozen', 'bn_frozen', 'table8/no-bn', rate=PAPER_RATE),
    Finding(9, 'batch of 16', 'batch_16', 'table9/batch16'),
    Finding(9, 'batch of 8', 'reference', 'table9/batch8'),
    Finding(9, 'batch of 4', 'batch_4', 'table9/batch4'),
    Finding(9, 'batch of 2', 'batch_2'),
    *_table_10(),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    add_camvid_arguments(parser)
    variants = list(dict.fromkeys(finding.variant for finding in FINDINGS))
    parser.set_defaults(variants=variants, iterations=200, work_dir='work_dirs/benchmark_findings')


def run(args: argparse.Namespace) -> str:
    """Train each variant with each seed, evaluate it at three output_strides, and compare.

    Writes ``results.json`` (all scores), ``results.md`` and ``differences.png`` into the work dir.

    Args:
        args: As declared by :func:`add_arguments`.

    Returns:
        ``results.md``.

    Raises:
        CommandError: If a training fails, with the end of its output.
        FileNotFoundError: If the images are not there.
        ValueError: If a training in the work dir has other settings.
    """
    work_dir = Path(args.work_dir)
    curves = train_variants(args, STRIDES, {'val_evaluator.trimap_widths': [TRIMAP_WIDTH]})
    scores = {
        name: {seed: curve[args.iterations] for seed, curve in seeds.items()}
        for name, seeds in curves.items()
    }
    settings = dict(iterations=args.iterations, seeds=args.seeds, torch=torch.__version__)
    write_file(work_dir / 'results.json', json.dumps(dict(settings, scores=scores), indent=1))
    compared = compare(scores)
    markdown = table(compared)
    write_file(work_dir / 'results.md', markdown + '\n')
    plot(compared, work_dir / 'differences.png')
    return markdown


def compare(scores: dict[str, dict[int, dict[str, float]]]) -> list[dict]:
    """What the findings that were trained differ in from the first one of their table and rate.

    Args:
        scores: Variant -> seed -> scores in percent.

    Returns:
        For each its ``finding``, ``reference`` (is it the first one?), ``published`` (difference of
        mIoU, or None), the seeds' ``mIoU`` and ``differences``: score -> one of each seed.
    """
    compared, firsts = [], {}
    for finding in FINDINGS:
        if finding.variant not in scores:
            continue
        mine = {seed: summary(s, finding.stride) for seed, s in scores[finding.variant].items()}
        first, its = firsts.setdefault((finding.table, finding.rate), (finding, mine))
        compared.append(
            dict(
                finding=finding,
                reference=finding is first,
                published=finding.miou - first.miou if finding.miou and first.miou else None,
                mIoU=[one['mIoU'] for one in mine.values()],
                differences={
                    name: [mine[seed][name] - its[seed][name] for seed in mine]
                    for name in its[next(iter(its))]
                },
            )
        )
    return compared


def summary(scores: dict[str, float], stride: int) -> dict[str, float]:
    """mIoU, that of thin and of large classes, and that near boundaries."""
    prefix = '' if stride == 16 else f'os{stride}/'
    classes = {
        name: statistics.fmean(scores[f'{prefix}IoU/{one}'] for one in group)
        for name, group in (('thin', THIN), ('large', LARGE))
    }
    boundary = scores[f'{prefix}mIoU_trimap{TRIMAP_WIDTH}']
    return dict(mIoU=scores[f'{prefix}mIoU'], boundary=boundary, **classes)


def verdict(published: float | None, differences: Sequence[float]) -> str:
    """'shows', 'does not show' or 'cannot be told', by two standard errors of the mean.

    It shows if the difference has the paper's sign; it does not if it is less than half of the
    paper's.
    """
    if published is None or len(differences) < 2:
        return 'cannot be told' if published is not None else ''
    sign = 1 if published > 0 else -1
    mean, error = sign * statistics.fmean(differences), 2 * standard_error(differences)
    if mean - error > 0:
        return 'shows'
    return 'does not show' if mean + error < abs(published) / 2 else 'cannot be told'


def table(compared: Sequence[dict]) -> str:
    """Markdown: mIoU, and what it differs in from the first row of a table and rate."""
    rows = []
    for line in compared:
        finding, published = line['finding'], line['published']
        row = [str(finding.table), finding.change, with_error(line['mIoU'], '.2f')]
        if line['reference']:
            rows.append([*row, '', '', '', '', '', ''])
            continue
        of = {name: with_error(gains, '+.2f') for name, gains in line['differences'].items()}
        row += ['' if published is None else f'{published:+.2f}', of['mIoU']]
        row += [verdict(published, line['differences']['mIoU'])]
        rows.append([*row, of['thin'], of['boundary'], of['large']])
    titles = ['table', 'row', 'mIoU', 'paper', 'here', 'the finding', 'thin', 'boundary', 'large']
    return f'{markdown_table(titles, rows)}\n\n{LEGEND}'


def plot(compared: Sequence[dict], path: Path) -> None:
    """Draw the differences of mIoU, the paper's beside those of the seeds."""
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    lines = [line for line in compared if not line['reference']]
    figure = Figure(figsize=(8, 0.4 * len(lines) + 1), layout='constrained')
    axes = figure.subplots()
    for place, line in enumerate(reversed(lines)):
        gains = line['differences']['mIoU']
        axes.plot(gains, [place] * len(gains), '.', color='tab:blue', alpha=0.5)
        axes.plot(statistics.fmean(gains), place, 'D', color='tab:blue')
        if line['published'] is not None:
            axes.plot(line['published'], place, 'x', color='tab:red')
    names = [f'Table {line["finding"].table}: {line["finding"].change}' for line in lines]
    axes.set_yticks(range(len(lines)), names[::-1], fontsize='small')
    axes.axvline(0, color='gray', linewidth=0.8)
    axes.set_xscale('symlog', linthresh=1)
    axes.set_xlabel('difference of mIoU, points\ndiamond: here, dots: its seeds, cross: the paper')
    axes.grid(alpha=0.3)
    with written_aside(path) as aside:
        figure.savefig(aside, format='png', dpi=110)
