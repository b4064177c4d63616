"""Any file at all, read as a mask or an image: what it holds, or one sentence.

``FUZZ_EXAMPLES=100000 pytest tests/fuzz`` tries more files than the suite does, which are always
the same.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import FORMATS, BadSampleError, read_image, read_mask

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', 700))
fuzz = settings(settings.get_profile('fuzz'), max_examples=EXAMPLES)
IDS = np.random.default_rng(0).integers(0, 21, (11, 13), np.uint8)


def saved(format, mode='L', **options):
    image = Image.fromarray(IDS)
    if mode == 'P':
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
    elif mode == 'I;16':
        image = Image.fromarray(IDS.astype(np.uint16))
    elif mode != 'L':
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name, content):
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', crc(name, content))


def crc(name, content):
    return zlib.crc32(name + content)


def interlaced():
    """A gray PNG by Adam7, which Pillow cannot write."""
    rows = []
    for y, x, dy, dx in [
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]:  # fmt: skip
        rows += [b'\0' + row.tobytes() for row in IDS[y::dy, x::dx] if row.size]
    header = struct.pack('>IIBBBBB', IDS.shape[1], IDS.shape[0], 8, 0, 0, 0, 1)
    data = zlib.compress(b''.join(rows))
    parts = [(b'IHDR', header), (b'IDAT', data), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


LOSSLESS = [  # of these, the ids are known
    saved('PNG'),
    saved('PNG', 'P'),
    saved('PNG', 'P', transparency=3),
    saved('PNG', 'L', transparency=3),
    saved('PNG', 'I;16'),
    saved('PNG', compress_level=0),
    interlaced(),
]
OTHERS = [
    saved('PNG', 'RGB'),
    saved('PNG', 'RGBA'),
    saved('PNG', '1'),
    saved('PNG', 'P', bits=8, optimize=True),
    saved('JPEG'),
    saved('JPEG', 'RGB', progressive=True),
    saved('BMP', 'P'),
    saved('GIF', 'P'),
    saved('TIFF', 'P'),
    saved('TIFF', 'I;16', compression='tiff_lzw'),
    saved('WEBP', 'RGB'),
    saved('PPM'),
    saved('TGA'),
    saved('EPS'),
    b'<html>404</html>',
    b'\x89PNG\r\n\x1a\n',
    b'',
]
FILES = LOSSLESS + OTHERS


def rechecksummed(content):
    """The same PNG with fitting checksums, so that decoders look further."""
    out, start = content[:8], 8
    while start + 12 <= len(content):
        length, name = struct.unpack_from('>I4s', content, start)
        data = content[start + 8 : start + 8 + length]
        out += chunk(name, data)
        start += 12 + length
    return out


@st.composite
def mutated(draw, files=FILES, deep=True):
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(['flip', 'cut', 'drop', 'insert', 'overwrite', 'splice']))
        if kind == 'flip' and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 'cut':
            del content[place:]
        elif kind == 'drop':
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == 'insert':
            content[place:place] = draw(st.binary(max_size=8))
        elif kind == 'overwrite':  # as with a size, also an enormous one
            number = draw(st.sampled_from([0, 1, 13, 255, 30000, 2**31 - 1, 2**32 - 1]))
            content[place : place + 4] = struct.pack(draw(st.sampled_from('<>')) + 'I', number)
        elif kind == 'splice':
            content[place:] = draw(st.sampled_from(files))[place:]
    content = bytes(content)
    if deep and draw(st.booleans()) and content.startswith(b'\x89PNG'):
        content = rechecksummed(content)
    return content


def outcome(read, path, content):
    """What was read, or None where the error is as it should be."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's, of odd files
        try:
            return read(str(path))
        except BadSampleError as error:
            message = str(error)
    assert str(path) in message and '\n' not in message and len(message) < 400
    assert message.endswith('.') and '..' not in message and ': .' not in message
    return None


@fuzz
@given(content=mutated())
def test_a_mask_is_read_as_by_pillow_or_refused(tmp_path_factory, content):
    labels = outcome(read_mask, tmp_path_factory.getbasetemp() / 'fuzz.png', content)
    if labels is not None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            expected = np.array(Image.open(io.BytesIO(content), formats=FORMATS))
        assert labels.dtype == np.uint8 and np.array_equal(labels, expected)


@fuzz
@given(content=mutated(LOSSLESS, deep=False))
def test_a_damaged_png_never_gives_other_ids(tmp_path_factory, content):
    labels = outcome(read_mask, tmp_path_factory.getbasetemp() / 'fuzz.png', content)
    assert labels is None or np.array_equal(labels, IDS)


@fuzz
@given(content=mutated())
@example(content=b'')
def test_an_image_is_read_or_refused(tmp_path_factory, capfd, content):
    image = outcome(read_image, tmp_path_factory.getbasetemp() / 'fuzz.jpg', content)
    assert image is None or (image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3)
    capfd.readouterr()  # what OpenCV's decoders print


def test_the_files_are_good_before_they_are_broken(tmp_path):
    for content in LOSSLESS:
        (tmp_path / 'a.png').write_bytes(content)
        assert np.array_equal(read_mask(str(tmp_path / 'a.png')), IDS)
