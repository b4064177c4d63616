from unittest import mock

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from mmseg_deeplabv3x.datasets.voc_masks import open_image, read_ids, save_mask, size_of


def test_a_mask_has_the_palette_of_the_devkit(small, tmp_path):
    ids = small.voc_ids('x')
    save_mask(tmp_path / 'a.png', ids)
    image = Image.open(tmp_path / 'a.png')
    assert image.mode == 'P' and (np.asarray(image) == ids).all()
    used = [*range(21), 255]
    palette = np.array(image.getpalette()).reshape(-1, 3)
    assert (palette[used] == small.devkit_palette()[used]).all()
    assert (np.asarray(image.convert('RGB')) == small.devkit_palette()[ids]).all()


@pytest.mark.parametrize('mode', ['P', 'L', 'RGB', 'RGBA'])
def test_ids_are_read_from_every_kind(small, tmp_path, mode):
    ids = small.voc_ids('x')
    small.save_voc_mask(tmp_path / 'a.png', ids)
    if mode == 'L':
        Image.fromarray(ids).save(tmp_path / 'a.png')
    elif mode != 'P':
        Image.open(tmp_path / 'a.png').convert(mode).save(tmp_path / 'a.png')
    assert Image.open(tmp_path / 'a.png').mode == mode
    assert (read_ids(tmp_path / 'a.png') == ids).all()


@pytest.mark.parametrize(
    'pixels,message',
    [
        (np.full((2, 3), 21, np.uint8), 'holds the id 21; the ids are 0 to 20 and 255'),
        (np.full((2, 3, 3), 7, np.uint8), r'holds the colour \(7, 7, 7\), which is none'),
        (np.full((2, 3), 7, np.uint16), 'has the image mode I;16'),
    ],
)
def test_what_is_no_mask_is_named(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=f'a.png {message}'):
        read_ids(tmp_path / 'a.png')


def test_what_is_no_image_is_named(tmp_path):
    save_mask(tmp_path / 'cut.png', np.random.default_rng(0).integers(0, 9, (99, 99), np.uint8))
    data = (tmp_path / 'cut.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(data[: len(data) // 2])
    (tmp_path / 'text.png').write_text('text')
    for name, read in (('cut', open_image), ('text', open_image), ('text', size_of)):
        with pytest.raises(ValueError, match=f'{name}.png cannot be read as an image'):
            read(tmp_path / f'{name}.png')
    assert size_of(tmp_path / 'cut.png') == (99, 99)


def test_no_program_is_run_on_postscript(tmp_path, monkeypatch):
    """Pillow would run Ghostscript on it, whatever the name of the file."""
    run = mock.Mock()
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', run)
    Image.new('L', (12, 10)).save(tmp_path / 'a.png', 'EPS')
    with pytest.raises(ValueError, match='a.png cannot be read as an image'):
        open_image(tmp_path / 'a.png')
    assert not run.called


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    Image.new('L', (5, 5)).save(tmp_path / 'a.png')
    for read in (open_image, size_of):
        with pytest.raises(ValueError, match='a.png cannot be read'):
            read(tmp_path / 'a.png')
