from pathlib import Path

import numpy as np
import pytest

from mmseg_deeplabv3x.report import figures
from mmseg_deeplabv3x.report.run import Run


def test_classes_that_are_confused_stand_beside_each_other():
    shares = np.eye(6) * 0.9
    for pair in ((0, 4), (1, 5), (2, 3)):
        shares[pair] = shares[pair[::-1]] = 0.3
    order = figures.by_confusion(shares).tolist()
    assert sorted(order) == list(range(6))
    for one, other in ((0, 4), (1, 5), (2, 3)):
        assert abs(order.index(one) - order.index(other)) == 1


@pytest.mark.parametrize('number', [1, 2])
def test_few_classes_stay_in_their_order(number):
    assert figures.by_confusion(np.ones((number, number))).tolist() == list(range(number))


def test_confusion_shows_percent_of_the_ground_truth(evaluation):
    heat = figures.confusion(evaluation).data[0]
    row, column = heat.y.index('sofa'), heat.x.index('chair')
    assert heat.z[row][column] == 60


def test_a_class_without_score_has_no_bar():
    bars = figures.class_bars(dict(IoU=np.array([0.5, np.nan])), ['a', 'b'], '').data[0]
    assert list(bars.y) == [50, None]


def test_runs_share_a_plot_of_curves():
    runs = [Run(name, Path(name), None, dict(loss=([1, 2], [3, 4])), {}) for name in ('a', 'b')]
    assert [line.name for line in figures.curves(runs, ['loss'], 'loss').data] == [
        'a loss',
        'b loss',
    ]
    assert figures.curves(runs, ['lr'], 'lr') is None


def test_a_long_title_has_several_lines():
    runs = [Run('a' * 60, Path('a'), None, dict(loss=([1], [3])), {})]
    title = figures.curves(runs, ['loss'], f'IoU of each class, {"a" * 60}').layout.title.text
    assert max(map(len, title.split('<br>'))) <= 32


def test_calibration_is_accuracy_over_confidence(evaluation):
    ideal, line = figures.calibration(dict(run=evaluation)).data
    assert list(ideal.x) == list(ideal.y)
    assert np.allclose(line.y, 0.5)
    assert np.allclose(line.x, np.arange(0.025, 1, 0.05))
