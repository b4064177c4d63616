"""The plots of a report, by plotly."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from plotly import graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from .evaluation import BINS, Evaluation
from .run import Run


def curves(runs: Sequence[Run], names: Sequence[str], title: str) -> go.Figure | None:
    """Scalars over the iterations, one line for each run and name; None if no run has any."""
    lines = []
    for run in runs:
        for name in (name for name in names if name in run.scalars):
            x, y = run.scalars[name]
            label = name if len(runs) == 1 else f'{run.name} {name}'
            lines.append(go.Scatter(x=x, y=y, name=label))
    return _figure(lines, title, xaxis_title='iteration') if lines else None


def class_bars(scores: Mapping[str, np.ndarray], classes: Sequence[str], title: str) -> go.Figure:
    """Bars of each class; ``scores`` are 0 to 1, (C,), by the name of the bar."""
    names = list(classes)
    bars = [go.Bar(x=names, y=_percent(values), name=name) for name, values in scores.items()]
    return _figure(bars, title, yaxis_title='%')


def confusion(found: Evaluation) -> go.Figure:
    """The matrix in percent of each row, classes that are confused beside each other."""
    shares = found.matrix / np.maximum(found.matrix.sum(1, keepdims=True), 1)
    order = by_confusion(shares)
    names = found.classes[order].tolist()
    heat = go.Heatmap(
        z=_percent(shares[np.ix_(order, order)]),
        x=names,
        y=names,
        colorscale='Blues',
        hovertemplate='%{y} taken for %{x}: %{z} %<extra></extra>',
    )
    figure = _figure([heat], 'Confusion, % of each class', xaxis_title='prediction')
    return figure.update_yaxes(autorange='reversed', title='ground truth')


def by_confusion(shares: np.ndarray) -> np.ndarray:
    """The classes, (C,), so that those that are confused stand beside each other.

    They are the leaves of an average-linkage clustering. ``shares`` are those of each class
    that were taken for each class, (C, C).
    """
    if len(shares) < 3:
        return np.arange(len(shares))
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), 'average', optimal_ordering=True)
    return leaves_list(tree)


def calibration(found: Mapping[str, Evaluation]) -> go.Figure:
    """How often the network is right, over how sure it is."""
    centres = (np.arange(BINS) + 0.5) / BINS
    lines = [go.Scatter(x=[0, 1], y=[0, 1], name='ideal', line=dict(dash='dot', color='gray'))]
    for name, evaluation in found.items():
        count, right, _ = evaluation.calibration
        seen = count > 0
        lines.append(go.Scatter(x=centres[seen], y=right[seen] / count[seen], name=name))
    return _figure(lines, 'Calibration', xaxis_title='confidence', yaxis_title='accuracy')


def _percent(values: np.ndarray) -> list:
    rounded = np.round(100 * np.asarray(values, float), 1)
    return np.where(np.isnan(rounded), None, rounded.astype(object)).tolist()


def _figure(traces: list, title: str, **layout) -> go.Figure:
    lines = textwrap.wrap(title, 32)  # of the narrowest plot
    margin = dict(l=50, r=10, t=18 + 24 * len(lines), b=40)
    legend = dict(orientation='h', y=-0.25)
    return go.Figure(traces).update_layout(
        title='<br>'.join(lines),
        template='plotly_white',
        margin=margin,
        height=420,
        legend=legend,
        **layout,
    )
