"""Published beside measured: markdown, JSON and a picture."""

import io
import json
import statistics
from collections import defaultdict
from pathlib import Path

from common.markdown_table import markdown_table

from mmseg_deeplabv3x.files import write_file
from mmseg_deeplabv3x.paper.rows import REFERENCES, ROWS

TITLES = (
    'row',
    'what it changes',
    'published',
    'measured',
    'seeds',
    'published difference',
    'measured difference',
)


def compare(work_dir: str) -> str:
    """Compare the results of :func:`paper_tables.runs.run_rows` with the paper.

    Writes ``comparison.md``, ``comparison.json`` and ``comparison.png`` into ``work_dir``.

    Args:
        work_dir: Folder of results.

    Returns:
        The markdown.

    Raises:
        FileNotFoundError: If no row is finished there.
    """
    results = _read_results(Path(work_dir))
    if not results:
        raise FileNotFoundError(
            f'{work_dir} holds no result (table*/*/seed*/result.json): "tools/paper.py run" makes '
            'them.'
        )
    lines = [_summary(row_id, results) for row_id in ROWS if row_id in results]
    markdown = _markdown(lines, results)
    write_file(Path(work_dir) / 'comparison.json', json.dumps(lines, indent=2) + '\n')
    write_file(Path(work_dir) / 'comparison.md', markdown)
    _plot(lines, Path(work_dir) / 'comparison.png')
    return markdown


def _read_results(work_dir: Path) -> dict[str, dict[int, dict]]:
    """Row id -> seed -> what its result.json says."""
    results = defaultdict(dict)
    for path in sorted(work_dir.glob('table*/*/seed*/result.json')):
        record = json.loads(path.read_text())
        results[record['row']][record['seed']] = record
    return dict(results)


def _summary(row_id: str, results: dict) -> dict:
    """Means over the seeds; the difference is taken seed by seed, so shared luck cancels."""
    row, reference = ROWS[row_id], REFERENCES[ROWS[row_id].table]
    own = {seed: record['miou'] for seed, record in results[row_id].items()}
    theirs = {seed: record['miou'] for seed, record in results.get(reference, {}).items()}
    gains = [own[seed] - theirs[seed] for seed in own if seed in theirs]
    return dict(
        row=row_id,
        change=row.change,
        note=row.note,
        reference=reference,
        published=row.miou,
        published_difference=round(row.miou - ROWS[reference].miou, 2),
        seeds=sorted(own),
        measured=_mean(list(own.values())),
        spread=_spread(list(own.values())),
        difference=_mean(gains),
        difference_spread=_spread(gains),
    )


def _mean(values: list[float]) -> float | None:
    return round(statistics.fmean(values), 2) if values else None


def _spread(values: list[float]) -> float | None:
    """Sample standard deviation; None for a single value."""
    return round(statistics.stdev(values), 2) if len(values) > 1 else None


def _markdown(lines: list[dict], results: dict) -> str:
    settings = {line['row']: _settings(results[line['row']]) for line in lines}
    shared = set.intersection(*(set(own.items()) for own in settings.values()))
    text = [
        'mIoU in percent. Measured: mean ± standard deviation over the seeds. Differences are to '
        'the reference row of the table, measured ones seed by seed.',
        '',
        'All rows: ' + _words(next(iter(settings.values())), shared) + '.',
    ]
    for table in dict.fromkeys(ROWS[line['row']].table for line in lines):
        own = [line for line in lines if ROWS[line['row']].table == table]
        text += ['', f'## Table {table}', '', f'Reference: {own[0]["reference"]}.']
        groups = defaultdict(list)
        for line in own:
            items = settings[line['row']]
            groups[_words(items, items.items() - shared)].append(line['row'])
        for words, ids in groups.items():
            if words:
                text[-1] += f' {words[0].upper()}{words[1:]}'
                text[-1] += '.' if len(groups) == 1 else f' ({", ".join(ids)}).'
        text += ['', markdown_table(TITLES, map(_cells, own), texts=2)]
        missing = [i for i, row in ROWS.items() if row.table == table and i not in results]
        if missing:
            text += ['', f'Not run: {", ".join(missing)}.']
    return '\n'.join(text) + '\n'


def _cells(line: dict) -> list[str]:
    return [
        line['row'],
        line['change'] + (f' ({line["note"]})' if line['note'] else ''),
        f'{line["published"]:.2f}',
        _with_spread(line['measured'], line['spread'], '.2f'),
        str(len(line['seeds'])),
        f'{line["published_difference"]:+.2f}',
        _with_spread(line['difference'], line['difference_spread'], '+.2f'),
    ]


def _settings(records: dict[int, dict]) -> dict[str, str]:
    """On what data, how long and with what options a row was run; the same with every seed."""
    record = next(iter(records.values()))
    return {'data': record['dataset'], 'iterations': str(record['iters']), **record['options']}


def _words(settings: dict, items: set) -> str:
    """Those of a row's settings that are among ``items``, in their own order."""
    return ', '.join(
        f'{key} {value}' if key in ('data', 'iterations') else f'`{key}={value}`'
        for key, value in settings.items()
        if (key, value) in items
    )


def _with_spread(mean: float | None, spread: float | None, form: str) -> str:
    if mean is None:
        return 'reference not run'
    return f'{mean:{form}}' + (f' ± {spread:.2f}' if spread is not None else '')


def _plot(lines: list[dict], path: Path) -> None:
    """One row of two panels a table: mIoU, and the difference to the reference row."""
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    tables = list(dict.fromkeys(ROWS[line['row']].table for line in lines))
    groups = [[line for line in lines if ROWS[line['row']].table == table] for table in tables]
    heights = [1.2 + 0.25 * len(group) for group in groups]
    figure = Figure(figsize=(11, sum(heights)), layout='constrained')
    axes = figure.subplots(len(groups), 2, squeeze=False, height_ratios=heights)
    kinds = (
        ('mIoU, %', 'published', 'measured', 'spread'),
        (
            'difference to the reference row',
            'published_difference',
            'difference',
            'difference_spread',
        ),
    )
    for group, pair in zip(groups, axes):
        names = [line['row'] for line in group]
        for axis, (title, published, measured, spread) in zip(pair, kinds):
            axis.plot(
                [line[published] for line in group], names, 'o', mfc='none', label='published'
            )
            found = [line for line in group if line[measured] is not None]
            axis.errorbar(
                [line[measured] for line in found],
                [line['row'] for line in found],
                xerr=[line[spread] or 0 for line in found],
                fmt='s',
                capsize=3,
                label='measured',
            )
            axis.set_xlabel(title)
            axis.grid(alpha=0.3)
            axis.invert_yaxis()
        pair[1].tick_params(labelleft=False)
        pair[0].legend(fontsize='small')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    write_file(path, buffer.getvalue())
