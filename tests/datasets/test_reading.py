"""Each fault of a file is an error of its kind that names the file."""

from __future__ import annotations

import io
import struct
import zlib

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets import reading
from mmseg_deeplabv3x.datasets.reading import (
    BadSampleError,
    check_ids,
    check_size,
    is_wrong_id,
    read_image,
    read_mask,
)


def picture(format, shape=(40, 60, 3), **options):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def absurd_png():
    """A small file that announces 30000x30000 pixels."""
    header = struct.pack('>IIBBBBB', 30000, 30000, 8, 0, 0, 0, 0)

    def chunk(name, data):
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b''))


CONTENT = {
    'missing': None,
    'empty': b'',
    'truncated': picture('JPEG', (40, 60))[:700],
    'unreadable': b'<html>404 Not Found</html>',
    'too large': absurd_png(),
}


@pytest.mark.parametrize('kind', CONTENT)
@pytest.mark.parametrize('read', [read_image, read_mask])
def test_a_broken_file_is_named_and_its_fault_said(tmp_path, read, kind):
    path = tmp_path / 'broken.jpg'
    if CONTENT[kind] is not None:
        path.write_bytes(CONTENT[kind])
    with pytest.raises(BadSampleError, match='broken.jpg') as error:
        read(str(path))
    assert error.value.kind == kind
    assert isinstance(error.value, FileNotFoundError) == (kind == 'missing')


@pytest.mark.parametrize('format', ['JPEG', 'PNG'])
@pytest.mark.parametrize('decoder', ['installed', 'lenient'])
def test_no_truncation_goes_unnoticed(tmp_path, monkeypatch, format, decoder):
    """Neither by this OpenCV nor by one that, as OpenCV 4, fills what is missing with grey."""
    whole = picture(format)
    if decoder == 'lenient':
        monkeypatch.setattr(mmcv, 'imfrombytes', lambda content: np.zeros((40, 60, 3), np.uint8))
    path = tmp_path / 'cut'
    for length in (len(whole) // 3, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(BadSampleError, match='cut is truncated'):
            read_image(str(path))


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'restart_marker_rows': 1}])
def test_whole_files_are_read_as_by_mmcv(tmp_path, options):
    path = tmp_path / 'whole.jpg'
    path.write_bytes(picture('JPEG', **options) + b'trailer \xff\xda of a camera')
    expected = mmcv.imread(str(path))
    assert np.array_equal(read_image(str(path)), expected)


def test_a_format_unknown_to_pillow_is_left_to_opencv(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    path.write_bytes(picture('PNG'))
    expected = read_image(str(path))

    def refuse(*args):
        raise reading.UnidentifiedImageError

    monkeypatch.setattr(reading.Image, 'open', refuse)
    assert np.array_equal(read_image(str(path)), expected)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(BadSampleError, match=f'{tmp_path} cannot be read: Is a directory'):
        read_image(str(tmp_path))


IDS = np.uint8([[0, 1, 20], [255, 7, 1]])


@pytest.mark.parametrize('mode', ['P', 'L', 'I;16', 'I'])
def test_masks_are_read_as_ids(tmp_path, mode):
    if mode == 'P':
        mask = Image.fromarray(IDS)
        mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        assert mask.mode == 'P'
    else:
        mask = Image.fromarray(IDS.astype({'L': 'u1', 'I;16': '<u2', 'I': '<i4'}[mode]))
    path = tmp_path / ('mask.tif' if mode == 'I' else 'mask.png')
    mask.save(path)
    labels = read_mask(str(path))
    assert labels.dtype == np.uint8 and np.array_equal(labels, IDS)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_a_mask_in_colour_is_refused(tmp_path, mode):
    Image.fromarray(IDS).convert(mode).save(tmp_path / 'mask.png')
    with pytest.raises(
        BadSampleError, match=f'mask.png is {mode}, expected a palette or gray'
    ) as error:
        read_mask(str(tmp_path / 'mask.png'))
    assert error.value.kind == 'RGB mask'


def test_an_id_that_mmseg_would_wrap_around_is_refused(tmp_path):
    Image.fromarray(np.uint16([[0, 300]])).save(tmp_path / 'mask.png')
    with pytest.raises(BadSampleError, match='mask.png holds id 300, expected 0 to 255'):
        read_mask(str(tmp_path / 'mask.png'))


def test_sizes():
    check_size('m.png', (3, 4), 'i.jpg', (3, 4))
    with pytest.raises(BadSampleError, match='m.png has 3x4 pixels and its image i.jpg 4x3'):
        check_size('m.png', (3, 4), 'i.jpg', (4, 3))


def test_ids_that_are_no_class():
    table = np.arange(256)
    counts = np.bincount([0, 20, 255, 37, 37, 21], minlength=256)
    check_ids('m.png', counts, is_wrong_id(table, 38))
    with pytest.raises(
        BadSampleError,
        match=r'm.png holds .* no class: 21 \(1 pixels\), 37 \(2 pixels\); expected 0 to 20 or 255',
    ):
        check_ids('m.png', counts, is_wrong_id(table, 21))
