"""A report as text and as JSON."""

import json
from collections import Counter

import numpy as np
from prettytable import PrettyTable, TableStyle

from .full_check import Report

SHOWN = 3  # examples of each kind of problem


def text(report: Report) -> str:
    """Write the tables that ``tools/check_data.py`` prints.

    Args:
        report: As by ``check_data``.

    Returns:
        Splits, classes, rare classes and problems, without a line break at the end.
    """
    found = Counter(problem.split for problem in report.problems)
    rows = [[split.name, len(split.infos), found[split.name]] for split in report.splits]
    parts = [_table(['split', 'images', 'problems'], rows)]
    for split, pixels in zip(report.splits, report.pixels):
        if len(pixels):
            rows = [
                [row['class'], row['pixels'], f'{row["percent"]:.2f}', row['images']]
                for row in class_counts(split.metainfo['classes'], pixels)
            ]
            parts.append(_table([f'{split.name}: class', 'pixels', 'in %', 'images'], rows))
    rare = report.rare_classes()
    if rare:
        parts.append(
            'Rare in training (less than half the pixels of the median class), to try with '
            f'BootstrapDataset:\n  hard_classes={rare}'
        )
    parts.append(_problems(report))
    return '\n\n'.join(parts)


def as_json(report: Report) -> str:
    """Write all that was found, for programs.

    Args:
        report: As by ``check_data``.

    Returns:
        JSON with 'ok', 'splits', 'rare_classes' and 'problems'.
    """
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
    """Count the pixels of each class and the images that hold it.

    Args:
        classes: Their names.
        pixels: Of each image, (images, num_classes).

    Returns:
        A dictionary for each class, with 'class', 'pixels', 'percent' (of all classes) and
        'images'.
    """
    total = pixels.sum(axis=0)
    percent = 100 * total / max(total.sum(), 1)
    images = (pixels > 0).sum(axis=0)
    return [
        {'class': name, 'pixels': int(p), 'percent': round(float(share), 4), 'images': int(i)}
        for name, p, share, i in zip(classes, total, percent, images)
    ]


def _problems(report: Report) -> str:
    if not report.problems:
        return 'No problems.'
    lines = [f'Problems: {len(report.problems)}']
    for kind, number in Counter(problem.kind for problem in report.problems).items():
        messages = [problem.message for problem in report.problems if problem.kind == kind]
        lines.append(f'{kind} ({number})')
        lines += [f'  {message}' for message in messages[:SHOWN]]
        if number > SHOWN:
            lines.append(f'  and {number - SHOWN} more')
    return '\n'.join(lines)


def _table(head: list[str], rows: list[list]) -> str:
    """A Markdown table: names to the left, numbers to the right."""
    table = PrettyTable(head)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align[head[0]] = 'l'
    table.add_rows(rows)
    return table.get_string()
