"""scale: each axis has its rows, beside what the work predicts; all is about what is trained."""

from __future__ import annotations

import argparse
import json

import pytest
import torch
from benchmarks import scale
from PIL import Image

AXES = dict(crop=[65, 33], batch=[2, 1, 4], output_stride=[16, 8], classes=[21, 5])


def run(config, *argv):
    parser = argparse.ArgumentParser()
    scale.add_arguments(parser)
    for axis, values in AXES.items():
        argv += (f'--{axis.replace("_", "-")}', *values)
    return scale.run(parser.parse_args([config, '--rounds', '1', *map(str, argv)]))


@pytest.fixture(scope='module')
def measured(tiny_config, tmp_path_factory):
    """The text, the rows by kind, axis and value, and the picture."""
    folder = tmp_path_factory.mktemp('scale')
    config = tiny_config('scale')
    threads = torch.get_num_threads()
    text = run(config, '--json', folder / 'a.json', '--plot', folder / 'a.png')
    torch.set_num_threads(threads)
    rows = json.loads((folder / 'a.json').read_text())['rows']
    rows = {(row['kind'], row['axis'], row['value']): row for row in rows}
    return text, rows, Image.open(folder / 'a.png')


def test_a_row_for_each_value_and_one_for_the_base(measured, table_cells):
    text, rows, picture = measured
    names = ['crop 65, batch 2, output_stride 16, classes 21', 'crop 33', 'batch 1', 'batch 4']
    names += ['output_stride 8', 'classes 5']
    cells = table_cells(text)
    for kind, table in zip(scale.KINDS, (cells[:7], cells[7:])):
        assert [row[0] for row in table] == [kind, *names]
        assert table[1][2:4] == ['1.00', '1.00'], 'the base is what the others are compared with'
    assert len(rows) == 2 * (2 + 3 + 2 + 2)
    assert picture.size[0] > 500


@pytest.mark.parametrize('kind', scale.KINDS)
def test_the_work_is_counted(measured, kind):
    def flop(axis, value):
        return measured[1][kind, axis, value]['flop']

    assert flop('crop', 65) == flop('batch', 2) == flop('output_stride', 16)
    # all but the image pooling and the loss is in proportion to the batch
    assert flop('batch', 4) == 2 * flop('batch', 2) == 4 * flop('batch', 1)
    assert flop('crop', 33) < flop('crop', 65) / 2
    assert flop('output_stride', 8) > 1.5 * flop('output_stride', 16)
    assert flop('classes', 5) < flop('classes', 21)
    assert flop('batch', 2) > 0


def test_memory_grows_with_the_images_and_has_no_weights_in_it(measured):
    def mib(kind, axis, value):
        return measured[1][kind, axis, value]['mib']

    for kind in scale.KINDS:
        assert mib(kind, 'batch', 1) < mib(kind, 'batch', 2) < mib(kind, 'batch', 4)
    # a prediction keeps nothing but a few maps: it is in proportion to the images
    assert mib('prediction', 'batch', 4) == pytest.approx(
        2 * mib('prediction', 'batch', 2), rel=0.02
    )


def test_the_ratios():
    base = scale.Point(10, 2, 16, 21)
    first = dict(ms=[10.0, 20.0], flop=100, mib=50.0)
    row = dict(ms=[80.0, 160.0], flop=400, mib=100.0)
    larger = base._replace(crop=20)  # 4 times the pixels, 8 times the time, twice the memory
    assert scale._ratios(row, first, larger, base) == (2.0, 2.0, 0.5)


def test_the_config_of_another_model_is_refused(tmp_path):
    config = tmp_path / 'other.py'
    config.write_text("model = dict(type='EncoderDecoder')\n")
    with pytest.raises(ValueError, match='other.py: the model must be a DeepLabV3, but is a Enc'):
        run(str(config))
