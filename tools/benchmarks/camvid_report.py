"""The results of the subject ``camvid``: tables and a picture."""

import statistics
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
from common.markdown_table import markdown_table

from mmseg_deeplabv3x.datasets import CamVidDataset
from mmseg_deeplabv3x.files import written_aside

# variant -> seed -> iteration -> scores
Curves = dict[str, dict[int, dict[int, dict[str, float]]]]


def tables(curves: Curves, iterations: int) -> str:
    """Compare the last evaluations of the trainings.

    Args:
        curves: Scores in percent.
        iterations: When the last evaluation was.

    Returns:
        Two tables: mIoU of each variant, with the difference to the first one seed by seed; IoU
        of each class. 'mean ± standard error of the mean', the latter of two seeds or more.
    """
    last = {
        name: {seed: curve[iterations] for seed, curve in seeds.items()}
        for name, seeds in curves.items()
    }
    first, *_ = last
    rows = []
    for name, seeds in last.items():
        gains = [scores['mIoU'] - last[first][seed]['mIoU'] for seed, scores in seeds.items()]
        rows.append(
            [
                name,
                with_error([scores['mIoU'] for scores in seeds.values()], '.2f'),
                '' if name == first else with_error(gains, '+.2f'),
                with_error([scores['aAcc'] for scores in seeds.values()], '.2f'),
            ]
        )
    titles = ['variant', 'mIoU', f'against {first}', 'pixel accuracy']
    classes = [
        [
            c,
            *(
                with_error([s[f'IoU/{c}'] for s in seeds.values()], '.1f')
                for seeds in last.values()
            ),
        ]
        for c in CamVidDataset.METAINFO['classes']
    ]
    return (
        f'{markdown_table(titles, rows)}\n\n{markdown_table(["IoU in %", *last], classes)}\n\n'
        f'Seeds {", ".join(map(str, last[first]))}; {iterations} iterations.'
    )


def with_error(values: Sequence[float], form: str) -> str:
    """Mean ± standard error of the mean."""
    text = f'{statistics.fmean(values):{form}}'
    if len(values) > 1:
        text += f' ± {standard_error(values):{form.lstrip("+")}}'
    return text


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; NaN where a value is, unlike ``statistics.stdev``."""
    return np.std(values, ddof=1) / sqrt(len(values))


def plot(curves: Curves, path: Path) -> None:
    """Draw mIoU over iterations: the mean of the seeds, and from the least to the most."""
    from matplotlib.figure import Figure  # slow to import, and needed here alone

    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    for name, seeds in curves.items():
        iterations = sorted(set.intersection(*map(set, seeds.values())))
        scores = [[curve[i]['mIoU'] for curve in seeds.values()] for i in iterations]
        (line,) = axes.plot(iterations, list(map(statistics.fmean, scores)), 'o-', label=name)
        least, most = list(map(min, scores)), list(map(max, scores))
        axes.fill_between(iterations, least, most, alpha=0.2, color=line.get_color())
    axes.set(xlabel='iterations', ylabel='mIoU, %')
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small')
    with written_aside(path) as aside:
        figure.savefig(aside, format='png', dpi=110)
