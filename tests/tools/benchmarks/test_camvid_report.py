import cv2
from benchmarks.camvid_report import plot, tables, with_error

from mmseg_deeplabv3x.datasets import CamVidDataset

CLASSES = CamVidDataset.METAINFO['classes']


def scores(miou):
    return dict(mIoU=miou, aAcc=2 * miou, **{f'IoU/{name}': miou + 1 for name in CLASSES})


CURVES = {
    'a': {0: {4: scores(1.0), 8: scores(30.0)}, 1: {4: scores(1.0), 8: scores(32.0)}},
    'b': {0: {4: scores(9.0), 8: scores(35.0)}, 1: {4: scores(9.0), 8: scores(37.0)}},
}


def test_mean_and_standard_error():
    assert with_error([1.0, 2.0, 3.0], '.2f') == '2.00 ± 0.58'  # deviation 1, by the root of 3
    assert with_error([1.0], '+.1f') == '+1.0'


def test_last_evaluations_are_compared_seed_by_seed(table_cells):
    cells = table_cells(tables(CURVES, 8))
    assert cells[:3] == [
        ['variant', 'mIoU', 'against a', 'pixel accuracy'],
        ['a', '31.00 ± 1.00', '', '62.00 ± 2.00'],
        # the seeds differ by 2 in both, the gain is the same
        ['b', '36.00 ± 1.00', '+5.00 ± 0.00', '72.00 ± 2.00'],
    ]
    assert cells[3:5] == [['IoU in %', 'a', 'b'], ['sky', '32.0 ± 1.0', '37.0 ± 1.0']]
    assert [row[0] for row in cells[4:]] == list(CLASSES)


def test_the_picture_shows_the_curves(tmp_path):
    plot(CURVES, tmp_path / 'both.png')
    plot({'a': CURVES['a']}, tmp_path / 'one.png')
    both, one = (cv2.imread(str(tmp_path / name)) for name in ('both.png', 'one.png'))
    assert both.shape == one.shape and (both != one).any()


def test_the_picture_shows_mean_and_range(tmp_path):
    pictures = []
    for ends in ((10.0, 20.0, 60.0), (10.0, 50.0, 60.0), (20.0, 40.0, 60.0)):
        seeds = {seed: {4: scores(10.0), 8: scores(end)} for seed, end in enumerate(ends)}
        # the first curve of all pictures is the same, and so is the scale
        plot({'a': {0: {4: scores(0.0), 8: scores(80.0)}}, 'b': seeds}, tmp_path / 'x.png')
        pictures.append(cv2.imread(str(tmp_path / 'x.png')))
    first, same_range, same_mean = pictures
    assert first.shape == same_range.shape == same_mean.shape
    assert (first != same_range).any() and (same_range != same_mean).any()
