import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.evaluation.voc_archive import pack_voc

NAMES = ['2008_000006', '2008_000011', '2008_000012']


@pytest.fixture
def data(small, tmp_path):
    """VOC's root with three images of the test split, its list, and predictions of ids."""
    root = tmp_path / 'VOC2012'
    split = root / 'ImageSets/Segmentation/test.txt'
    small.write_list(split, NAMES)
    (tmp_path / 'ids').mkdir()
    for i, name in enumerate(NAMES):
        small.save_jpg(root / f'JPEGImages/{name}.jpg', (10 + i, 8))
        ids = small.voc_ids(name, (10 + i, 8)) % 21
        Image.fromarray(ids).save(tmp_path / f'ids/{name}.png')
    return tmp_path / 'ids', root, split


def test_the_archive_is_what_the_server_takes(small, tmp_path, data):
    out = pack_voc(*data, tmp_path / 'new/results.tgz')
    with tarfile.open(out) as file:
        assert file.getnames() == [
            f'results/VOC2012/Segmentation/comp6_test_cls/{name}.png' for name in NAMES
        ]
        assert all(member.isreg() for member in file)
        for member, name in zip(file.getmembers(), NAMES):
            image = Image.open(file.extractfile(member))
            assert (
                image.mode == 'P'
                and (np.asarray(image) == small.read(data[0] / f'{name}.png')).all()
            )
            colours = small.devkit_palette()[np.asarray(image)]
            assert (np.asarray(image.convert('RGB')) == colours).all()
    assert os.listdir(out.parent) == ['results.tgz']


def test_the_same_predictions_give_the_same_bytes(small, tmp_path, data, monkeypatch):
    first = pack_voc(*data, tmp_path / 'a.tgz').read_bytes()
    for path in data[0].iterdir():
        os.utime(path, (0, 0))
        small.save_voc_mask(path, small.read(path), painted=path.stem == NAMES[0])
    monkeypatch.setattr('time.time', lambda: 1e9)
    assert pack_voc(*map(str, data), tmp_path / 'b.tar.gz').read_bytes() == first


def lose_prediction(ids, root):
    (ids / f'{NAMES[1]}.png').unlink()


def lose_image(ids, root):
    (root / f'JPEGImages/{NAMES[1]}.jpg').unlink()


def add_prediction(ids, root):
    Image.new('L', (10, 8)).save(ids / '2008_000007.png')


def turn(ids, root):
    Image.new('L', (8, 11)).save(ids / f'{NAMES[1]}.png')


def void(ids, root):
    Image.new('L', (11, 8), 255).save(ids / f'{NAMES[1]}.png')


def no_class(ids, root):
    Image.new('L', (11, 8), 21).save(ids / f'{NAMES[1]}.png')


@pytest.mark.parametrize(
    'change,error,message',
    [
        (
            lose_prediction,
            FileNotFoundError,
            'lacks 1 of the 3 images of .*test.txt: 2008_000011',
        ),
        (
            lose_image,
            FileNotFoundError,
            '2008_000011.jpg does not exist; the size of .*2008_000011.png',
        ),
        (
            add_prediction,
            ValueError,
            'holds 1 images that .*test.txt does not name: 2008_00',
        ),
        (turn, ValueError, '2008_000011.png has 11x8 pixels and its image .*2008_000011.jpg 8x11'),
        (void, ValueError, '2008_000011.png holds 255, void'),
        (no_class, ValueError, '2008_000011.png holds ids that are no class: 21 '),
    ],
)
def test_what_the_server_would_refuse_is_refused(tmp_path, data, change, error, message):
    change(*data[:2])
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=message):
        pack_voc(*data, tmp_path / 'results.tgz')
    assert sorted(os.listdir(tmp_path)) == before


def test_another_suffix_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match='results.zip: the server takes a .tgz'):
        pack_voc(*data, tmp_path / 'results.zip')
    assert not Path(tmp_path / 'results.zip').exists()
