import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets.voc_masks import read_voc_mask, save_voc_mask


def test_a_mask_has_the_palette_of_the_devkit(small, tmp_path):
    ids = small.voc_ids('x')
    save_voc_mask(tmp_path / 'a.png', ids)
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
    assert (read_voc_mask(tmp_path / 'a.png') == ids).all()


@pytest.mark.parametrize(
    'pixels,message',
    [
        (
            np.full((2, 3), 21, np.uint8),
            r'holds ids that are no class: 21 \(6 pixels\); expected 0 to 20 or 255',
        ),
        (
            np.full((2, 3, 3), 7, np.uint8),
            r'holds the colour \(7, 7, 7\), which PASCAL VOC does not use',
        ),
        (np.full((2, 3), 263, np.uint16), 'holds id 263, expected 0 to 255'),
    ],
)
def test_what_is_no_mask_is_named(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=f'a.png {message}'):
        read_voc_mask(tmp_path / 'a.png')
