"""A report as one HTML file that needs no other file and no network."""

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np
from plotly.offline import get_plotlyjs

from . import figures
from .evaluation import IGNORED, Evaluation
from .run import Run

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 sans-serif; margin: 0 auto; max-width: 1100px; padding: 0 1em 3em; }}
table {{ border-collapse: collapse; display: block; margin-bottom: 1em; overflow-x: auto; }}
h1, h2 {{ overflow-wrap: anywhere; }}
th, td {{ border: 1px solid #ccc; padding: .2em .6em; text-align: left; }}
td.number {{ text-align: right; }}
.plots {{ display: grid; gap: 1em; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }}
.plots > div {{ min-width: 0; }}
figure {{ margin: 0 0 1.5em; }}
figcaption {{ overflow-wrap: anywhere; }}
.panels {{ display: grid; gap: 4px; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }}
.legend span {{ display: inline-block; margin-right: 1em; }}
.legend i {{ border: 1px solid #888; margin-right: .3em; padding: 0 .5em; }}
.panels img {{ display: block; width: 100%; }}
.compare {{ position: relative; }}
.compare img + img {{ position: absolute; inset: 0; clip-path: inset(0 0 0 50%); }}
.compare input {{ position: absolute; inset: auto 0 0; width: 100%; margin: 0; }}
</style>
<script>{plotly}</script></head>
<body><h1>{title}</h1>
{body}
<script>
for (const range of document.querySelectorAll('.compare input'))
  range.addEventListener('input', () => {{
    range.previousElementSibling.style.clipPath = `inset(0 0 0 ${{range.value}}%)`;
  }});
// each plot was drawn when those after it were not there yet to share the width with
addEventListener('load', () => dispatchEvent(new Event('resize')));
</script></body></html>
"""
_REASONS = dict(
    worst='Lowest mIoU of an image',
    best='Highest mIoU of an image',
    uncertain='Least sure of itself',
)


def page(runs: Sequence[Run], found: Sequence[Evaluation | None], notes: Sequence[str]) -> str:
    """The page as HTML.

    Args:
        runs: The first is the one that the others are compared with.
        found: Of each run; None where its checkpoint could not be evaluated.
        notes: Sentences to begin with, such as why a checkpoint could not be.
    """
    evaluated = {run.name: one for run, one in zip(runs, found) if one is not None}
    parts = [f'<p>{html.escape(note)}</p>' for note in notes]
    parts += ['<h2>Scores</h2>', _scores(runs, found)]
    alike = {}
    if evaluated:
        first = next(iter(evaluated.values()))
        alike = {k: v for k, v in evaluated.items() if np.array_equal(v.classes, first.classes)}
    if len(evaluated) > 1:
        parts.append(_differences(alike))
    parts += ['<h2>Training</h2>', _plots(_training(runs))]
    if evaluated:
        scores = {name: one.iou for name, one in alike.items()}
        if len(evaluated) == 1:
            scores = {'IoU': first.iou, 'Boundary IoU': first.boundary_iou}
        bars = figures.class_bars(scores, first.classes, 'IoU of each class')
        parts += ['<h2>Classes</h2>', _plots([bars, figures.calibration(evaluated)])]
    for name, one in evaluated.items():
        parts.append(f'<h2>{html.escape(name)}: what it confuses</h2>')
        parts += [_plots([figures.confusion(one)]), _pairs(one), _legend(one), *_pictures(one)]
    parts += ['<h2>Set-up</h2>', _setup(runs, found)]
    title = 'Report of ' + ', '.join(run.name for run in runs)
    return _PAGE.format(title=html.escape(title), plotly=get_plotlyjs(), body='\n'.join(parts))


def _training(runs: Sequence[Run]) -> list:
    plots = [figures.curves(runs, [name], name) for name in ('loss', 'lr', 'mIoU')]
    for run in runs:
        names = [name for name in run.scalars if name.startswith('IoU/')]
        title = 'IoU of each class' + f', {run.name}' * (len(runs) > 1)
        plots.append(figures.curves([run], names, title))
    return plots


def _scores(runs: Sequence[Run], found: Sequence[Evaluation | None]) -> str:
    rows = {
        f'best {name} of the log, %': [
            max(run.scalars[name][1]) if name in run.scalars else None for run in runs
        ]
        for name in ('mIoU', 'mAcc', 'aAcc')
    }
    for title, value in {
        'mIoU of the checkpoint, %': lambda one: 100 * np.nanmean(one.iou),
        'Boundary IoU, %': lambda one: 100 * np.nanmean(one.boundary_iou),
        'calibration error, %': lambda one: 100 * one.calibration_error,
    }.items():
        rows[title] = [None if one is None else value(one) for one in found]
    head = ['', *(run.name for run in runs)]
    if len(runs) > 1:
        head += ['mean', 'standard deviation']
        for values in rows.values():
            values += [None] * 2 if None in values else [np.mean(values), np.std(values, ddof=1)]
    known = [
        [title, *values] for title, values in rows.items() if any(v is not None for v in values)
    ]
    return _table(head, known)


def _differences(alike: Mapping[str, Evaluation]) -> str:
    (first_name, first), *others = alike.items()
    if not others:
        return '<p>The runs have different classes: their IoU are not compared.</p>'
    gains = [100 * (one.iou - first.iou) for _, one in others]
    head = ['IoU of each class, points', *(f'{name} − {first_name}' for name, _ in others)]
    return _table(head, list(zip(first.classes, *gains)))


def _pairs(one: Evaluation) -> str:
    lines = []
    for label, taken in one.pairs():
        share = 100 * one.matrix[label, taken] / one.matrix[label].sum()
        names = [html.escape(str(one.classes[i])) for i in (label, taken)]
        lines.append('<li>{:.1f} % of <b>{}</b> is taken for {}</li>'.format(share, *names))
    return f'<ul>{"".join(lines)}</ul>'


def _legend(one: Evaluation) -> str:
    """The colours of the classes that are there, or predicted."""
    shown = np.flatnonzero(one.matrix.sum(0) + one.matrix.sum(1))
    colours = [(one.classes[i], one.palette[i]) for i in shown] + [('no label', IGNORED)]
    entry = '<span><i style="background: rgb({},{},{})"></i>{}</span>'
    entries = (entry.format(*colour, html.escape(str(name))) for name, colour in colours)
    return f'<p class="legend">{" ".join(entries)}</p>'


def _pictures(one: Evaluation) -> list[str]:
    reasons: dict[int, list[str]] = {}
    for reason, numbers in one.chosen().items():
        for i, number in enumerate(numbers):
            text = _REASONS.get(reason) or 'Most {} taken for {}'.format(
                *one.classes[list(one.pairs()[i])]
            )
            reasons.setdefault(number, []).append(text)
    return [_picture(one, number, texts) for number, texts in reasons.items()]


def _picture(one: Evaluation, number: int, reasons: list[str]) -> str:
    image, truth, prediction, errors = (
        f'<img alt="{kind}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(one.pictures[f"{number}/{kind}"].tobytes()).decode()}">'
        for kind in ('image', 'truth', 'prediction', 'errors')
    )
    # the later of two pictures at one place is cut to the right of the slider
    return (
        f'<figure><div class="panels">{image}<div class="compare">{truth}{prediction}'
        '<input type="range" min="0" max="100" value="50" aria-label="truth or prediction"></div>'
        f'{errors}</div><figcaption><b>{html.escape("; ".join(reasons))}.</b> '
        f'{html.escape(str(one.images[number]))}: '
        f'mIoU {100 * one.image_iou[number]:.1f} %, uncertainty {one.uncertainty[number]:.2f}. '
        'Image | left of the slider ground truth, right of it prediction | errors in red.'
        '</figcaption></figure>'
    )


def _setup(runs: Sequence[Run], found: Sequence[Evaluation | None]) -> str:
    names = dict.fromkeys(name for run in runs for name in run.setup)
    rows = [[name, *(run.setup.get(name, '') for run in runs)] for name in names]
    rows.append(['Checkpoint', *(str(run.checkpoint or 'none') for run in runs)])
    rows.append(['Data (hash)', *(one.data_hash if one else '' for one in found)])
    speed = [np.median(run.scalars['img/s'][1]) if 'img/s' in run.scalars else '' for run in runs]
    rows.append(['Images a second', *speed])
    return _table(['', *(run.name for run in runs)], rows)


def _plots(plots: Sequence) -> str:
    config = dict(responsive=True, displayModeBar=False)
    drawn = ''.join(
        plot.to_html(full_html=False, include_plotlyjs=False, config=config)
        for plot in plots
        if plot is not None
    )
    return f'<div class="plots">{drawn}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    lines = [''.join(f'<th>{html.escape(str(title))}</th>' for title in head)]
    lines += [''.join(map(_cell, row)) for row in rows]
    return '<table>' + ''.join(f'<tr>{line}</tr>' for line in lines) + '</table>'


def _cell(value) -> str:
    if isinstance(value, (int, float, np.number)):
        return f'<td class="number">{"–" if np.isnan(value) else f"{value:.2f}"}</td>'
    return f'<td>{"" if value is None else html.escape(str(value))}</td>'
