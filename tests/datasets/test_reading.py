"""Each fault of a file is an error of its kind that names the file."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets import reading
from mmseg_deeplabv3x.datasets.reading import (
    BadSampleError,
    check_ids,
    check_size,
    read_header,
    read_image,
    read_mask,
)


def picture(format, shape=(40, 60, 3), **options):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name, data):
    """A part of a PNG."""
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def absurd_png():
    """A small file that announces 30000x30000 pixels."""
    header = struct.pack('>IIBBBBB', 30000, 30000, 8, 0, 0, 0, 0)
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


@pytest.mark.parametrize('format', ['JPEG', 'PNG'])
def test_the_size_that_a_header_announces(tmp_path, monkeypatch, format):
    """Up to the number that Pillow takes without a warning it need not be asked."""
    path = tmp_path / 'image'
    content = picture(format, comment=b'\xff\xc0 a comment' if format == 'JPEG' else None)
    path.write_bytes(content)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40 * 60)
    with monkeypatch.context() as patch:
        patch.delattr(reading.Image, 'open')
        read_image(str(path))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40 * 60 // 2 - 1)
    for read in (read_image, read_mask):
        with pytest.raises(BadSampleError, match=r'too large: Image size \(2400 pixels\)'):
            read(str(path))
    path.write_bytes(content[:30])  # ends within the header
    with pytest.raises(BadSampleError, match='image'):
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


def test_a_mask_with_any_one_bit_changed_is_refused_or_has_the_same_ids(tmp_path):
    """Pillow by itself reads some of them, and gives other ids."""
    ids = np.arange(35, dtype=np.uint8).reshape(5, 7)
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, 'PNG')
    whole, path, misread = buffer.getvalue(), tmp_path / 'mask.png', 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with contextlib.suppress(Exception):
            misread += not np.array_equal(np.array(Image.open(path)), ids)
        try:
            assert np.array_equal(read_mask(str(path)), ids)
        except BadSampleError as error:
            assert str(path) in str(error)
    assert misread, 'the check has become needless'


def test_the_damaged_part_of_a_mask_is_named(tmp_path):
    content = bytearray(picture('PNG', (40, 60)))
    place = content.index(b'IEND') - 8  # the checksum of the pixels
    content[place] ^= 1
    (tmp_path / 'mask.png').write_bytes(content)
    with pytest.raises(BadSampleError, match="mask.png is damaged: b'IDAT', at byte 33") as error:
        read_mask(str(tmp_path / 'mask.png'))
    assert error.value.kind == 'damaged'


@pytest.mark.parametrize('cut', [4, 12])
def test_a_mask_without_its_end_is_truncated(tmp_path, cut):
    (tmp_path / 'mask.png').write_bytes(picture('PNG', (40, 60))[:-cut])
    with pytest.raises(BadSampleError, match='mask.png is truncated'):
        read_mask(str(tmp_path / 'mask.png'))


@pytest.mark.parametrize('read', [read_image, read_mask])
@pytest.mark.parametrize('kind', ['pipe', 'device', 'socket', 'linked device'])
def test_what_would_hang_is_not_opened(tmp_path, monkeypatch, read, kind):
    path = tmp_path / 'a.png'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'socket':
        monkeypatch.chdir(tmp_path)  # the address of a socket must be short
        socket.socket(socket.AF_UNIX).bind('a.png')
    else:
        path = path if kind == 'linked device' else Path('/dev/zero')
        if kind == 'linked device':
            path.symlink_to('/dev/zero')
    monkeypatch.setattr(reading.fileio, 'get', None)
    expected = f'{path} is a {kind.split()[-1]}, expected an image file'
    with pytest.raises(BadSampleError, match=expected) as error:
        read(str(path))
    assert error.value.kind == 'no file'


def test_a_file_too_large_for_an_image_is_not_read(tmp_path):
    path = tmp_path / 'a.png'
    with open(path, 'wb') as file:
        file.truncate(5 * 2**30)  # takes no room
    with pytest.raises(BadSampleError, match='a.png is too large: 5.0 GiB, expected .* at most 2'):
        read_image(str(path))


def test_a_path_with_a_null_byte(tmp_path):
    with pytest.raises(BadSampleError, match=r"a\\x00b.png' cannot be read: embedded null byte"):
        read_mask(str(tmp_path / 'a\0b.png'))


@pytest.mark.parametrize('read', [read_image, read_mask])
def test_no_program_is_run_on_postscript(tmp_path, monkeypatch, read):
    """Pillow would run Ghostscript on it, whatever the name of the file."""
    (tmp_path / 'gs').write_text(f'#!/bin/sh\ntouch {tmp_path}/canary\n')
    (tmp_path / 'gs').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    path = tmp_path / 'a.png'
    path.write_bytes(
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n'
        b'%%ImageData: 10 10 8 1 0 1 1 "beginimage"\n%%EndComments\n%%EOF\n'
    )
    with pytest.raises(
        BadSampleError, match='a.png is not an image in one of the formats BMP, GIF'
    ):
        read(str(path))
    assert not (tmp_path / 'canary').exists()


def test_a_path_with_the_mark_of_an_address(tmp_path):
    path = f'{tmp_path}/s3://a.png'
    with pytest.raises(BadSampleError, match=f'{path} cannot be read: there is no file backend'):
        read_image(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(BadSampleError, match=f'{tmp_path} cannot be read: Is a directory'):
        read_image(str(tmp_path))


IDS = np.uint8([[0, 1, 20], [255, 7, 1]])


@pytest.mark.parametrize('mode', ['P', 'L'])
def test_the_usual_masks_are_read_without_pillow(tmp_path, monkeypatch, mode):
    mask = Image.fromarray(IDS)
    if mode == 'P':
        mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    mask.save(tmp_path / 'mask.png', transparency=3)
    monkeypatch.delattr(reading.Image, 'open')
    labels = read_mask(str(tmp_path / 'mask.png'))
    assert labels.flags.writeable and np.array_equal(labels, IDS)


def test_pixels_that_end_too_soon_are_noticed_although_the_checksums_are_right(tmp_path):
    header = struct.pack('>IIBBBBB', 7, 5, 8, 0, 0, 0, 0)
    parts = ((b'IHDR', header), (b'IDAT', zlib.compress(b'\0' * 20)), (b'IEND', b''))
    (tmp_path / 'mask.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*p) for p in parts))
    with pytest.raises(BadSampleError, match='mask.png is truncated'):
        read_mask(str(tmp_path / 'mask.png'))


def test_a_jpeg_mask_is_no_png_whatever_its_bytes(tmp_path):
    content = picture('JPEG', (40, 60))
    content = content[:2] + b'\xff\xfe\0\x20' + b'\x08\0' * 15 + content[2:]  # a comment
    (tmp_path / 'mask.jpg').write_bytes(content)
    assert content[24:26] == b'\x08\0'
    expected = np.array(Image.open(tmp_path / 'mask.jpg'))
    assert np.array_equal(read_mask(str(tmp_path / 'mask.jpg')), expected)


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


@pytest.mark.parametrize('mode', ['<u2', '<i4'])
def test_ids_of_16_bits_where_they_are_asked_for(tmp_path, mode):
    path = tmp_path / ('mask.png' if mode == '<u2' else 'mask.tif')
    Image.fromarray(np.array([[0, 300], [255, 65535]], mode)).save(path)
    labels = read_mask(str(path), wide=True)
    assert labels.dtype == np.uint16 and labels.tolist() == [[0, 300], [255, 65535]]
    Image.fromarray(IDS).save(tmp_path / 'narrow.png')
    assert read_mask(str(tmp_path / 'narrow.png'), wide=True).dtype == np.uint8
    Image.fromarray(np.array([[70000]], '<i4')).save(tmp_path / 'mask.tif')
    with pytest.raises(BadSampleError, match='mask.tif holds id 70000, expected 0 to 65535'):
        read_mask(str(tmp_path / 'mask.tif'), wide=True)


def test_sizes():
    check_size('m.png', (3, 4), 'i.jpg', (3, 4))
    with pytest.raises(BadSampleError, match='m.png has 3x4 pixels and its image i.jpg 4x3'):
        check_size('m.png', (3, 4), 'i.jpg', (4, 3))


def test_ids_that_are_no_class():
    ids = np.arange(256)
    counts = np.bincount([0, 20, 255, 37, 37, 21], minlength=256)
    check_ids('m.png', counts, (ids >= 38) & (ids != 255))
    with pytest.raises(
        BadSampleError,
        match=r'm.png holds .* no class: 21 \(1 pixels\), 37 \(2 pixels\); expected 0 to 20 or 255',
    ):
        check_ids('m.png', counts, (ids >= 21) & (ids != 255))


# ---------------------------------------------------------------- size


@pytest.mark.parametrize('size', [(7, 5), (1, 9)])
def test_the_size_is_read_from_the_header(tmp_path, size):
    path = tmp_path / 'a.png'
    Image.new('L', size).save(path)
    path.write_bytes(path.read_bytes()[:45])  # the pixels are missing
    assert read_header(path)[0] == size[::-1]


def test_a_file_without_a_size_is_named(tmp_path, monkeypatch):
    text, bomb, postscript = (tmp_path / f'{name}.png' for name in ('text', 'bomb', 'postscript'))
    text.write_text('text')
    Image.new('L', (5, 5)).save(bomb)
    Image.new('L', (5, 5)).save(postscript, 'EPS')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    for path in (text, bomb, postscript, tmp_path / 'absent.png'):
        with pytest.raises(BadSampleError, match=str(path)):
            read_header(path)
