from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.cli.infer import infer
from mmseg_deeplabv3x.inference import DeepLabV3Predictor
from mmseg_deeplabv3x.models.segmentors import fast_prediction


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


def test_no_word_of_a_photo_that_pillow_finds_large(
    trained, photos, tmp_path, monkeypatch, recwarn
):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 48 * 65 - 1)
    line = [*trained, str(photos), '-o', str(tmp_path / 'out'), '--device', 'cpu', '--shares']
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(photos / 'a.jpg')
    assert infer(line) == 0
    assert not [w for w in recwarn if w.category is Image.DecompressionBombWarning]


def test_what_cannot_be_read_is_listed_and_the_rest_done(trained, photos, tmp_path, capsys):
    (photos / 'broken.jpg').write_bytes((photos / 'a.jpg').read_bytes()[:100])
    line = [*trained, str(photos), '-o', str(tmp_path / 'out'), '--device', 'cpu', '--batch', '9']
    assert infer(line) == 1
    said = capsys.readouterr()
    assert '3 of 4 done' in said.out
    assert 'Failed:' in said.err and 'broken.jpg' in said.err
    assert len(list((tmp_path / 'out/masks').rglob('*.png'))) == 3


@pytest.mark.parametrize('batch', ['1', '3'])
def test_images_that_an_exported_file_does_not_take_are_listed(
    trained, photos, tmp_path, monkeypatch, capsys, batch
):
    def only_a(self, images):
        if any(image.sum() != first.sum() for image in images):
            raise ValueError('takes another size')
        return run(self, images)

    first, run = cv2.imread(str(photos / 'a.jpg')), DeepLabV3Predictor._run
    monkeypatch.setattr(DeepLabV3Predictor, '_run', only_a)
    line = [*trained, str(photos), '-o', str(tmp_path / 'out'), '--device', 'cpu']
    assert infer([*line, '--batch', batch]) == 1
    said = capsys.readouterr()
    assert '1 of 3 done' in said.out and said.err.count('takes another size') == 2


def test_results_inside_the_inputs_are_not_segmented(trained, photos, monkeypatch):
    monkeypatch.chdir(photos)
    line = [*trained, '.', '-o', 'out', '--device', 'cpu', '--resume']
    for _ in range(2):
        assert infer(line) == 0
        assert len(list(Path('out').rglob('*.png'))) == 6


def test_a_list_on_stdin(trained, photos, tmp_path, monkeypatch):
    odd = os.fsencode(photos) + b'/caf\xe9.jpg'  # a name that is no UTF-8
    os.rename(photos / 'a.jpg', odd)
    listed = io.TextIOWrapper(io.BytesIO(odd + b'\r\n\n'), 'utf-8')
    monkeypatch.setattr('sys.stdin', listed)
    line = [*trained, '-', '-o', str(tmp_path / 'out'), '--device', 'cpu']
    assert infer([*line, '--shares', '--coco', '--pictures']) == 0
    assert os.listdir(os.fsencode(tmp_path / 'out/masks')) == [b'caf\xe9.png']
    assert odd in (tmp_path / 'out/shares.csv').read_bytes()


def test_tta_and_output_stride_change_the_answer_as_in_test(trained, photos, tmp_path):
    results = {}
    for name, flags in dict(plain=[], tta=['--tta'], coarse=['--output-stride', '16']).items():
        line = [*trained, str(photos / 'a.jpg'), '-o', str(tmp_path / name), '--device', 'cpu']
        assert infer([*line, *flags]) == 0
        results[name] = ids(tmp_path / name / 'masks/a.png')
    coarse = DeepLabV3Predictor(*trained, device='cpu', fast=False, output_stride=16)
    assert (results['coarse'] == coarse(photos / 'a.jpg').mask).all()
    assert (results['tta'] != results['plain']).any()


def test_fast_says_what_computes(trained, photos, tmp_path, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(fast_prediction, 'print_log', lambda text, logger: said.append(text))
    line = [*trained, str(photos / 'a.jpg'), '--device', 'cpu']
    for runtime in ('torch', 'openvino'):
        if runtime == 'openvino':
            pytest.importorskip('openvino', reason='needs the extra deploy')
        flags = ['-o', str(tmp_path / runtime), '--fast', '--fast-runtime', runtime]
        assert infer([*line, *flags]) == 0
        assert f'{runtime} computes in fp32, after a start of' in said[-1]
    expected = DeepLabV3Predictor(*trained, device='cpu', fast=False)(photos / 'a.jpg').mask
    for mask in tmp_path.glob('*/masks/a.png'):
        assert (ids(mask) == expected).mean() > 0.999
    with pytest.raises(SystemExit):
        infer([*line, '-o', str(tmp_path / 'none'), '--fast-runtime', 'torch'])
    assert '--fast-runtime is for --fast: add --fast' in capsys.readouterr().err


def test_coco_json(trained, photos, tmp_path):
    coco = pytest.importorskip('pycocotools.coco', reason='the reference reader of such files')
    Image.new('RGB', (30, 20)).save(photos / 's2/c.png')
    flags = ['--coco', '--device', 'cpu']
    assert infer([*trained, str(photos), '-o', str(tmp_path / 'out'), *flags]) == 0
    read = coco.COCO(str(tmp_path / 'out/coco.json'))
    assert {image['file_name'] for image in read.imgs.values()} == {
        str(photos / name) for name in ('a.jpg', 's1/b.PNG', 's2/b.png', 's2/c.png')
    }
    assert read.cats[1]['name'] == 'dot'
    (image,) = (i for i in read.imgs.values() if i['file_name'].endswith('s1/b.PNG'))
    mask = ids(tmp_path / 'out/masks/s1/b.png')
    assert (image['height'], image['width']) == mask.shape
    areas = dict.fromkeys(np.unique(mask).tolist(), 0)
    for annotation in read.loadAnns(read.getAnnIds(image['id'])):
        areas[annotation['category_id']] += annotation['area']
    assert areas == {number: int((mask == number).sum()) for number in areas}


@pytest.fixture
def clip(tmp_path):
    path = str(tmp_path / 'clip.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 5, (65, 48))
    writer.write(np.zeros((48, 65, 3), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize('flag', ['--pictures', '--shares', '--coco'])
def test_what_only_images_get_is_refused_for_videos_alone(trained, clip, tmp_path, flag):
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as error:
        infer([*trained, clip, '-o', str(out), '--device', 'cpu', flag])
    said = str(error.value)
    assert f'{flag}: only images get that, and all inputs are videos, such as {clip}: leave' in said
    assert '\n' not in said and not out.exists()


def test_of_videos_nothing_is_told_or_written_that_images_get(
    trained, photos, clip, tmp_path, capsys
):
    line = [*trained, clip, '-o', str(tmp_path / 'video'), '--device', 'cpu']
    assert infer(line) == 0
    assert 'Images:' not in capsys.readouterr().out
    assert {path.name for path in (tmp_path / 'video').iterdir()} == {'overlays', 'settings.json'}
    mixed = [*trained, clip, str(photos / 'a.jpg'), '-o', str(tmp_path / 'mixed')]
    assert infer([*mixed, '--device', 'cpu', '--shares', '--pictures']) == 0
    said = capsys.readouterr().out
    assert said.count('--pictures, --shares: only images get that; videos, such as') == 1
    assert '\nImages: 1 of 1' in said and '2 of 2 done' in said
    assert len((tmp_path / 'mixed/shares.csv').read_text().splitlines()) == 2


def test_an_exported_file_with_views(trained, photos, exported_onnx, tmp_path, capsys):
    one = str(photos / 'a.jpg')
    flags = ['--device', 'cpu', '--tta']
    assert infer([*trained, one, '-o', str(tmp_path / 'model'), *flags]) == 0
    assert infer([trained[0], exported_onnx, one, '-o', str(tmp_path / 'file'), *flags]) == 0
    masks = [ids(tmp_path / name / 'masks/a.png') for name in ('model', 'file')]
    assert (masks[0] == masks[1]).mean() > 0.999
    with pytest.raises(SystemExit, match='--fast calls speed_up'):
        infer(['-', exported_onnx, one, '-o', str(tmp_path / 'fast'), '--fast'])


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(flags=['-o', __file__]), f'-o takes a folder, but {__file__} is a file'),
        (dict(inputs='none'), "There is no file or folder 'none'"),
        (dict(flags=['--precision', 'fp16']), 'needs a GPU'),
        (dict(flags=['--runtime', 'openvino']), 'openvino runs files that tools/export.py writes'),
        (dict(flags=['--device', 'cuda:77']), "no device 'cuda:77'"),
    ],
)
def test_a_mistake_is_one_sentence(trained, photos, tmp_path, change, message):
    inputs, flags = change.get('inputs', str(photos)), change.get('flags', [])
    with pytest.raises(SystemExit) as error:
        infer([*trained, inputs, '-o', str(tmp_path / 'out'), '--device', 'cpu', *flags])
    assert message in str(error.value) and '\n' not in str(error.value)
