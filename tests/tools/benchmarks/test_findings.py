import argparse
import json

import cv2
import pytest
from benchmarks import camvid, findings
from benchmarks.camvid_variants import VARIANTS

from mmseg_deeplabv3x.datasets import CamVidDataset

CLASSES = CamVidDataset.METAINFO['classes']


def options(*argv):
    parser = argparse.ArgumentParser()
    findings.add_arguments(parser)
    return parser.parse_args(list(map(str, argv)))


def scores(miou, thin=10.0, large=90.0, boundary=20.0):
    """Of one training; at output_stride 8 one point more, at 32 two less."""
    result = {}
    for prefix, gain in (('', 0.0), ('os8/', 1.0), ('os32/', -2.0)):
        result |= {f'{prefix}mIoU': miou + gain, f'{prefix}mIoU_trimap3': boundary + gain}
        for name in CLASSES:
            iou = thin if name in findings.THIN else large if name in findings.LARGE else 50.0
            result[f'{prefix}IoU/{name}'] = iou + gain
    return result


def test_every_row_is_trained_by_default_and_its_reference_comes_first():
    assert set(options().variants) == {finding.variant for finding in findings.FINDINGS}
    assert set(options().variants) <= set(VARIANTS)
    firsts = {}
    for finding in findings.FINDINGS:
        firsts.setdefault((finding.table, finding.rate), finding)
    assert {key: first.miou for key, first in firsts.items()} == dict.fromkeys(
        [(5, 0.05), (8, 0.05), (8, 0.007), (9, 0.05), (10, 0.05)], 77.21
    )


def test_the_rates_are_those_of_the_trainings():
    for variant, rate in {(finding.variant, finding.rate) for finding in findings.FINDINGS}:
        assert VARIANTS[variant](None).optim_wrapper.optimizer.lr == rate, variant


@pytest.mark.parametrize(
    'published, differences, told',
    [
        (-10.0, [-6.0, -6.5, -7.0], 'shows'),
        (1.0, [0.2, 0.25, 0.3], 'shows'),  # smaller, and of the paper's sign
        (-10.0, [0.1, -0.1, 0.0], 'does not show'),
        (1.0, [-0.5, -0.6, -0.7], 'does not show'),
        (-1.0, [-2.0, 2.0, 0.0], 'cannot be told'),
        (-1.0, [-5.0], 'cannot be told'),
        (None, [-5.0, -5.0], ''),
    ],
)
def test_the_verdict(published, differences, told):
    assert findings.verdict(published, differences) == told


def test_differences_are_those_of_the_same_seed():
    trained = {
        'reference': {0: scores(40.0), 1: scores(50.0)},
        'no_aspp': {0: scores(39.0, thin=8.0), 1: scores(47.0, large=86.0)},
        'trained_at_8': {0: scores(41.0, boundary=23.0), 1: scores(51.0, boundary=23.0)},
        'rate_paper': {0: scores(30.0), 1: scores(31.0)},
        'bn_frozen': {0: scores(25.0), 1: scores(28.0)},
    }
    lines = {
        (line['finding'].table, line['finding'].change): line for line in findings.compare(trained)
    }
    line = lines[5, '1x1 convolutions in place of ASPP']
    assert line['differences']['mIoU'] == [-1.0, -3.0]
    assert line['differences']['thin'] == [-2.0, 0.0]
    assert line['differences']['large'] == [0.0, -4.0]
    assert line['published'] == pytest.approx(73.45 - 77.21)
    assert lines[10, 'trained at 16, evaluated at 8']['differences']['mIoU'] == [1.0, 1.0]
    assert lines[10, 'trained at 8, evaluated at 32']['differences']['mIoU'] == [-1.0, -1.0]
    line = lines[10, 'trained at 8, evaluated at 16']
    assert line['differences']['boundary'] == [3.0, 3.0]
    assert not any(table == 9 and 'batch of 2' in change for table, change in lines)
    assert lines[8, 'rate of 0.007']['reference']
    line = lines[8, 'rate of 0.007, BN frozen']  # not with the row of the other rate
    assert line['differences']['mIoU'] == [-5.0, -3.0]
    assert line['published'] == pytest.approx(75.95 - 77.21)


def test_tables_json_and_a_picture(tmp_path, monkeypatch, table_cells):
    monkeypatch.setattr(camvid, 'halve', lambda *args: None)

    own = {
        'labels_down_4': scores(37.0, thin=8.0, large=91.0, boundary=17.0),
        'labels_down_5': scores(36.0, thin=8.0, large=91.0, boundary=17.0),
    }

    def train_all(folders, iterations, jobs):
        for folder in folders:
            one = own.get(folder.name, scores(40.0))
            (folder / 'curve.json').write_text(json.dumps({iterations: one}))

    monkeypatch.setattr(camvid, 'train_all', train_all)
    names = ['reference', 'labels_down']
    text = findings.run(options('--work-dir', tmp_path, '--variants', *names, '--seeds', 4, 5))
    rows = table_cells(text)
    assert [row[1] for row in rows if row[0] == '8'] == ['as in the config', 'labels down-sampled']
    assert [row[2:] for row in rows if row[0] == '8'] == [
        ['40.00 ± 0.00', '', '', '', '', '', ''],
        ['36.50 ± 0.50', '-1.20', '-3.50 ± 0.50', 'shows']
        + ['-2.00 ± 0.00', '-3.00 ± 0.00', '+1.00 ± 0.00'],
    ]
    assert (tmp_path / 'results.md').read_text() == text + '\n'
    kept = json.loads((tmp_path / 'results.json').read_text())
    assert kept['iterations'] == 200 and list(kept['scores']['labels_down']) == ['4', '5']
    assert cv2.imread(str(tmp_path / 'differences.png')) is not None


def test_the_picture_shows_the_differences(tmp_path):
    pictures = []
    for gains in ((0.0, 4.0), (2.0, 4.0), (0.0, 1.0, 3.0, 4.0)):
        seeds = range(len(gains))
        trained = dict(
            reference=dict.fromkeys(seeds, scores(40.0)),
            labels_down={seed: scores(40.0 + gain) for seed, gain in zip(seeds, gains)},
        )
        findings.plot(findings.compare(trained), tmp_path / 'x.png')
        pictures.append(cv2.imread(str(tmp_path / 'x.png')))
    # another mean; of the same mean two more seeds
    assert pictures[0].shape == pictures[1].shape == pictures[2].shape
    assert (pictures[0] != pictures[1]).any() and (pictures[0] != pictures[2]).any()
