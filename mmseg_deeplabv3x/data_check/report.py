"""Every file of every split: the check, and its report as text and as JSON."""

import json
from collections import Counter
from typing import NamedTuple

import numpy as np
from mmengine.config import Config
from prettytable import PrettyTable, TableStyle

from ..datasets.class_index import rare_classes
from ..datasets.parallel import map_files
from .problem import Problem, by_kind
from .sample import check_sample
from .splits import Split, load_splits
from .whole_splits import check_labels, shared_images

SHOWN = 3  # examples of each kind of problem


class Report(NamedTuple):
    """What was found.

    Attributes:
        splits: The splits of the config.
        pixels: Of each split, the pixels of each class in each image, (images, num_classes).
        problems: All that is wrong.
    """

    splits: list[Split]
    pixels: list[np.ndarray]
    problems: list[Problem]

    def rare_classes(self) -> list[str]:
        """Those of the training images, see :func:`..datasets.class_index.rare_classes`."""
        names, total = [], 0
        for split, pixels in zip(self.splits, self.pixels):
            if split.name.startswith('train') and len(pixels):
                names, total = split.metainfo['classes'], total + pixels.sum(axis=0)
        return rare_classes(names, np.atleast_1d(total))


def check_data(cfg: Config) -> Report:
    """Read every image and mask of every split, in parallel, and show the progress.

    Found are files that are missing, empty, truncated, unreadable or absurdly large; masks
    of another size than their image, in colour, with ids that are no class, or all ignored; what
    loads, but not as it was meant, such as 12 bits in files of 16; classes without a pixel; and
    splits that are empty, have blank lines, doubled images, or images that are also trained on.

    Args:
        cfg: A runner's config.

    Raises:
        ValueError: If it has no data.
    """
    splits = load_splits(cfg)
    if not splits:
        raise ValueError(
            'The config has no data to check: none of train_dataloader, val_dataloader and '
            'test_dataloader.'
        )
    tasks = [(split, info) for split in splits for info in split.infos]
    samples = map_files(lambda task: check_sample(*task), tasks, 'Reading images and masks')
    read = [(split, sample) for (split, _), sample in zip(tasks, samples)]
    problems = [p for split in splits for p in split.problems if not p.is_missing_file]
    problems += shared_images(splits, (sample.content for sample in samples))
    problems += [problem for sample in samples for problem in sample.problems]
    problems += check_labels(read)
    pixels = [np.array([s.pixels for owner, s in read if owner is split]) for split in splits]
    return Report(splits, pixels, problems)


def text(report: Report) -> str:
    """The tables that ``tools/check_data.py`` prints: splits, classes, rare classes, problems."""
    written = [table.get_string() for table in tables(report)]
    rare = report.rare_classes()
    if rare:
        written.append(
            'Rare in training (less than half the pixels of the median class), to try with '
            f'BootstrapDataset:\n  hard_classes={rare}'
        )
    lines = [f'Problems: {len(report.problems)}'] if report.problems else ['No problems.']
    for kind, problems in by_kind(report.problems).items():
        lines.append(f'{kind} ({len(problems)})')
        lines += [f'  {problem.message}' for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f'  and {len(problems) - SHOWN} more')
    return '\n\n'.join([*written, '\n'.join(lines)])


def tables(report: Report) -> list[PrettyTable]:
    """Tables of the splits, and of the classes of each, for Markdown and HTML."""
    found = Counter(problem.split for problem in report.problems)
    rows = [[split.name, len(split.infos), found[split.name]] for split in report.splits]
    written = [_table(['split', 'images', 'problems'], rows)]
    for split, pixels in zip(report.splits, report.pixels):
        if len(pixels):
            counts = class_counts(split.metainfo['classes'], pixels)
            head = [f'{split.name}: class', 'pixels', 'in %', 'images']
            written.append(_table(head, [[*row.values()] for row in counts]))
            written[-1].custom_format['in %'] = lambda _, value: f'{value:.2f}'
    return written


def as_json(report: Report) -> str:
    """All that was found as JSON with 'ok', 'splits', 'rare_classes' and 'problems'."""
    splits = [
        dict(
            name=split.name,
            images=len(split.infos),
            classes=class_counts(split.metainfo['classes'], pixels) if len(pixels) else [],
        )
        for split, pixels in zip(report.splits, report.pixels)
    ]
    problems = [
        dict(split=p.split, kind=p.kind, file=p.file, message=p.message) for p in report.problems
    ]
    content = dict(
        ok=not problems, splits=splits, rare_classes=report.rare_classes(), problems=problems
    )
    return json.dumps(content, indent=1)


def class_counts(classes: tuple[str, ...], pixels: np.ndarray) -> list[dict]:
    """Of each class, 'class', 'pixels', 'percent' (of all) and 'images' that hold it.

    ``pixels`` are those of each image, (images, num_classes).
    """
    total = pixels.sum(axis=0)
    percent = 100 * total / max(total.sum(), 1)
    images = (pixels > 0).sum(axis=0)
    return [
        {'class': name, 'pixels': int(p), 'percent': round(float(share), 4), 'images': int(i)}
        for name, p, share, i in zip(classes, total, percent, images)
    ]


def _table(head: list[str], rows: list[list]) -> PrettyTable:
    """A Markdown table: names to the left, numbers to the right."""
    table = PrettyTable(head)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align[head[0]] = 'l'
    table.add_rows(rows)
    return table
