from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.cli.infer import infer
from mmseg_deeplabv3x.inference import DeepLabV3Predictor


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a.jpg', 's1/b.PNG', 's2/b.png'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (48, 65, 3), np.uint8))
        picture.save(path, path.suffix[1:].lower().replace('jpg', 'jpeg'))
    return tmp_path / 'photos'


def ids(path):
    return np.asarray(Image.open(path))


def test_masks_overlays_pictures_and_shares(trained, photos, tmp_path):
    out = tmp_path / 'out'
    flags = ['--pictures', '--shares', '--device', 'cpu', '--batch', '2']
    assert infer([*trained, str(photos), '-o', str(out), *flags]) == 0
    predictor = DeepLabV3Predictor(*trained, device='cpu', fast=False)
    with open(out / 'shares.csv', newline='') as file:
        rows = {row['image']: row for row in csv.DictReader(file)}
    for source, name in (('a.jpg', 'a'), ('s1/b.PNG', 's1/b'), ('s2/b.png', 's2/b')):
        expected = predictor(photos / source)
        assert (ids(out / f'masks/{name}.png') == expected.mask).all()
        assert (ids(out / f'overlays/{name}.png') == expected.overlay()).all()
        assert ids(out / f'pictures/{name}.png').shape[1] > 2 * 65
        for label, share in expected.shares().items():
            assert float(rows[str(photos / source)][label]) == pytest.approx(share, abs=1e-6)


def test_it_goes_on_with_what_is_missing(trained, photos, tmp_path, capsys):
    line = ['-', trained[1], str(photos), '-o', str(tmp_path / 'out'), '--device', 'cpu']
    assert infer(line) == 0
    mask = tmp_path / 'out/masks/a.png'
    (tmp_path / 'out/masks/s1/b.png').unlink()
    before = mask.stat().st_mtime_ns
    with pytest.raises(SystemExit) as error:
        infer(line)
    assert 'is there already, and 1 more: add --resume' in str(error.value)
    assert not (tmp_path / 'out/masks/s1/b.png').exists()
    assert infer([*line, '--resume']) == 0
    assert (tmp_path / 'out/masks/s1/b.png').exists() and mask.stat().st_mtime_ns == before


def test_what_cannot_be_read_is_listed_and_the_rest_done(trained, photos, tmp_path, capsys):
    (photos / 'broken.jpg').write_bytes((photos / 'a.jpg').read_bytes()[:100])
    line = [*trained, str(photos), '-o', str(tmp_path / 'out'), '--device', 'cpu', '--batch', '9']
    assert infer(line) == 1
    said = capsys.readouterr()
    assert '3 of 4 done' in said.out
    assert 'Failed:' in said.err and 'broken.jpg' in said.err
    assert len(list((tmp_path / 'out/masks').rglob('*.png'))) == 3


def test_a_list_on_stdin(trained, photos, tmp_path, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO(f'{photos / "a.jpg"}\n\n'))
    assert infer([*trained, '-', '-o', str(tmp_path / 'out'), '--device', 'cpu']) == 0
    assert [path.name for path in (tmp_path / 'out/masks').iterdir()] == ['a.png']


def test_tta_and_output_stride_change_the_answer_as_in_test(trained, photos, tmp_path):
    results = {}
    for name, flags in dict(plain=[], tta=['--tta'], coarse=['--output-stride', '16']).items():
        line = [*trained, str(photos / 'a.jpg'), '-o', str(tmp_path / name), '--device', 'cpu']
        assert infer([*line, *flags]) == 0
        results[name] = ids(tmp_path / name / 'masks/a.png')
    coarse = DeepLabV3Predictor(*trained, device='cpu', fast=False, output_stride=16)
    assert (results['coarse'] == coarse(photos / 'a.jpg').mask).all()
    assert (results['tta'] != results['plain']).any()


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(inputs='none'), "There is no file or folder 'none'"),
        (dict(flags=['--precision', 'fp16']), 'needs a GPU'),
    ],
)
def test_a_mistake_is_one_sentence(trained, photos, tmp_path, change, message):
    inputs, flags = change.get('inputs', str(photos)), change.get('flags', [])
    with pytest.raises(SystemExit) as error:
        infer([*trained, inputs, '-o', str(tmp_path / 'out'), '--device', 'cpu', *flags])
    assert message in str(error.value) and '\n' not in str(error.value)
