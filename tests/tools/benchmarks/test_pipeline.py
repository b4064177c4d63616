from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from benchmarks import pipeline
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from PIL import Image

SMALL = [
    pipeline.Case(60, 80, 33, '.jpg', '.png', 1.45),
    pipeline.Case(50, 90, 200, '.png', '.png', 0.0),
    pipeline.Case(50, 90, 40, '.bmp', '.bmp', 0.0),
]


def test_tables_and_numbers_of_each_kind_of_files(monkeypatch, tmp_path, table_cells):
    monkeypatch.setattr(pipeline, 'CASES', SMALL)
    parser = argparse.ArgumentParser()
    pipeline.add_arguments(parser)
    path = tmp_path / 'numbers.json'
    plot = tmp_path / 'bars.png'
    options = ['--rounds', '3', '--images', '2', '--json', str(path), '--plot', str(plot)]
    tables = pipeline.run(parser.parse_args(options)).split('\n\n')
    assert len(tables) == 3
    for table, suffix in zip(tables, ('.jpg', '.png', '.bmp')):
        assert suffix in table.splitlines()[0]
        names = [name for name, *_ in table_cells(table)[1:]]
        assert names == [*pipeline.STEPS, '**sample**', 'samples a second and worker']
    numbers = json.loads(path.read_text())
    assert [part['case']['crop'] for part in numbers] == [33, 200, 40]
    for part in numbers:
        assert len(part['faster']) == len(part['mmseg_ms']) == 3
        steps = np.array(list(part['steps_ms'].values()))
        assert np.allclose(steps.sum(axis=0), [np.mean(part['mmseg_ms']), np.mean(part['ours_ms'])])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['bars.png', 'numbers.json']
    assert Image.open(plot).size[0] > 100


@pytest.mark.parametrize('case', SMALL)
def test_both_variants_scale_and_crop_alike(case, tmp_path):
    """From the same random number; mmseg rounds the sizes of whole images down, twice."""
    info = pipeline.write_files(str(tmp_path), case, 1)[0]
    with DefaultScope.overwrite_default_scope('mmseg'):
        variants = [Compose(variant) for variant in pipeline.pipelines(case)]
    for seed in range(20):
        sizes = []
        for variant in variants:
            np.random.seed(seed)
            sizes.append(variant(dict(info, seg_fields=[]))['inputs'].shape)
        assert np.abs(np.subtract(*sizes)).max() <= 2


def test_labels_hold_as_much_background_as_pascal_voc(tmp_path):
    infos = pipeline.write_files(str(tmp_path), SMALL[0], 60)
    labels = [np.asarray(Image.open(info['seg_map_path'])) for info in infos]
    assert 0.68 < np.mean([(mask == 0).mean() for mask in labels]) < 0.78
