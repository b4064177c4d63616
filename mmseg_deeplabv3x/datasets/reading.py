"""Read images and masks; what is wrong with a file is said in one sentence that names it."""

import io
import math
import os
import re
import stat
import struct
import zlib
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image, UnidentifiedImageError

from .lists import first_few

# What Pillow may decode. It would run a program, Ghostscript, on an EPS file of any name.
FORMATS = ('BMP', 'GIF', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TGA', 'TIFF', 'WEBP')
_ORIENTATION = 0x0112  # EXIF's tag: OpenCV turns the image as it says
_MASK_MODES = ('1', 'L', 'P', 'I', 'I;16')  # Pillow's one-channel whole numbers
_MAX_BYTES = 2**31  # more than the pixels allowed take, uncompressed
WIDE_VOID = 65535  # "no label" in masks of 16 bits
_PNG = b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR'
# Kinds of errors that others ask for.
NO_FILE = 'no file'  # a pipe, a socket or a device
RGB_MASK = 'RGB mask'  # in colour
_KINDS = {stat.S_IFIFO: 'pipe', stat.S_IFSOCK: 'socket'}


class BadSampleError(ValueError):
    """An image or a mask that cannot be used; ``kind`` says why in one or two words."""

    def __init__(self, message: str, kind: str = 'unreadable'):
        super().__init__(message)
        self.kind = kind


class MissingFileError(BadSampleError, FileNotFoundError):
    """An image or a mask that is not there."""

    def __init__(self, message: str):
        super().__init__(message, 'missing')


def read_image(
    path: str | Path,
    backend_args: dict | None = None,
    color_type: str = 'color',
    imdecode_backend: str = 'cv2',
) -> np.ndarray:
    """Read an image as mmseg's ``LoadImageFromFile`` does, whose arguments these are.

    Returns:
        By default uint8 (H, W, 3), BGR, turned as its EXIF orientation says: of 16 bits the upper 8
        are kept, gray stands in all three channels, alpha is left out.

    Raises:
        BadSampleError: If the file is missing, empty, truncated, no image or no regular file, or
            has more pixels than Pillow takes for an attack: twice ``PIL.Image.MAX_IMAGE_PIXELS``,
            179 million. (For formats unknown to Pillow, such as HDR, the bound is OpenCV's: 2**30.)
    """
    content = _read_bytes(path, backend_args)
    announced = _what_pillow_says(content, decode=False)  # which the decoder would allocate
    if isinstance(announced, Image.DecompressionBombError):
        raise _undecodable(path, announced)
    image, reason = None, None
    try:
        image = mmcv.imfrombytes(content, color_type, backend=imdecode_backend)
    except Exception as error:  # decoders raise all sorts of errors
        reason = None if isinstance(error, cv2.error) else error
    # OpenCV 4 fills the rest of a truncated image with grey and says nothing
    cut_off = _looks_cut_off(content)
    if image is not None and not cut_off:
        return image
    reason = reason or _what_pillow_says(content)
    if image is None:
        reason = reason or "OpenCV cannot; imdecode_backend='tifffile' reads other TIFFs"
    if reason:
        raise _undecodable(path, reason, cut_off)
    return image


def read_mask(path: str | Path, backend_args: dict | None = None, wide: bool = False) -> np.ndarray:
    """Read the class ids of a palette or gray mask.

    By Pillow, since OpenCV would give the colours of a palette; the usual PNG of 8 bits by OpenCV,
    which takes 0.7 of the time, once the palette is left out.

    Returns:
        Uint8 (H, W), the ids as they are in the file; 65535, "no label" in masks of 16 bits, as
        255, which is what mmseg's ``LoadAnnotations`` makes of it. With ``wide``, what has more
        than 8 bits is uint16, and 65535 stays.

    Raises:
        BadSampleError: If the file is missing, empty, truncated, no image, no regular file, too
            large (see :func:`read_image`), neither palette nor gray, a PNG that differs from its
            checksums, or holds other ids above 255, or with ``wide`` above 65535.
    """
    content = _read_bytes(path, backend_args)
    labels = _png_ids(path, content)
    if labels is not None:
        return labels
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            mode = picture.mode
            labels = np.array(picture) if mode in _MASK_MODES else None
    except Exception as error:  # decoders raise all sorts of errors
        raise _undecodable(path, error, _looks_cut_off(content)) from error
    if labels is None:
        raise BadSampleError(
            f'The mask {path} is {mode}, expected a palette or gray image of class ids.', RGB_MASK
        )
    _check_png(path, content)
    if labels.itemsize == 1:
        return labels.astype(np.uint8, copy=False)
    highest = WIDE_VOID if wide else 255
    strange = labels[(labels < 0) | (labels > highest) & (labels != WIDE_VOID)]
    if len(strange):
        raise BadSampleError(
            f'The mask {path} holds id {strange[0]}, expected 0 to {highest}.', 'ids'
        )
    return labels.astype(np.uint16 if wide else np.uint8)


def read_header(
    path: str | Path, backend_args: dict | None = None
) -> tuple[tuple[int, int], int | None]:
    """Size (H, W) of an image as it is stored, and how EXIF turns it: 2 to 8, None if not at all.

    Of a local file the header alone is read. A BadSampleError says that it is no image.
    """
    source = path
    if not is_local(path, backend_args):
        source = io.BytesIO(_read_bytes(path, backend_args))
    check_is_file(path)
    try:
        with Image.open(source, formats=FORMATS) as picture:
            turned = picture.getexif().get(_ORIENTATION) if 'exif' in picture.info else None
            return picture.size[::-1], turned if turned != 1 else None
    except Exception as error:  # decoders raise all sorts of errors
        raise _undecodable(path, error) from error


def is_local(path: str | Path, backend_args: dict | None = None) -> bool:
    """Whether a path is on this machine's disks: no address as ``s3://``, no other backend."""
    backend = (backend_args or {}).get('backend', 'local')
    return backend == 'local' and re.match(r'[\w+.-]+://', str(path)) is None


def check_size(mask: str | Path, mask_shape: tuple, image: str | Path, image_shape: tuple) -> None:
    """Refuse a mask, by a BadSampleError, that has another (H, W) than its image."""
    if tuple(mask_shape) != tuple(image_shape):
        raise BadSampleError(
            f'The mask {mask} has {mask_shape[0]}x{mask_shape[1]} pixels and its image {image} '
            f'{image_shape[0]}x{image_shape[1]} (height x width); both must have the same size.',
            'size',
        )


def check_ids(mask: str | Path, counts: np.ndarray, wrong: np.ndarray) -> None:
    """Refuse, by a BadSampleError, a mask with ids that are no class.

    ``counts`` are its pixels of each raw id, and ``wrong`` says which of these become neither a
    class nor ignored, bool of the same length.
    """
    found = np.flatnonzero(wrong & (counts > 0))
    if len(found):
        listed = first_few([f'{value} ({counts[value]} pixels)' for value in found], 5)
        right = np.flatnonzero(~wrong)
        runs = np.split(right, np.flatnonzero(np.diff(right) > 1) + 1)  # '0 to 20 or 255'
        expected = ' or '.join(f'{r[0]} to {r[-1]}' if len(r) > 1 else str(r[0]) for r in runs)
        message = f'The mask {mask} holds ids that are no class: {listed}; expected {expected}.'
        raise BadSampleError(message, 'ids')


def check_is_file(path: str) -> None:
    """Refuse, by a BadSampleError, what would hang, as a pipe does, never end, or has above 2 GiB.

    What is no address of a local file passes.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # an address elsewhere, or the backend says what is wrong
        return
    kind = stat.S_IFMT(state.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        found = _KINDS.get(kind, 'device')
        raise BadSampleError(f'{path} is a {found}, expected an image file.', NO_FILE)
    if state.st_size > _MAX_BYTES:
        size = f'{state.st_size / 2**30:.1f} GiB, expected an image of at most 2 GiB'
        raise BadSampleError(f'{path} is too large: {size}.', 'too large')


def _read_bytes(path: str | Path, backend_args: dict | None) -> bytes:
    if is_local(path, backend_args):
        check_is_file(path)
    try:
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise MissingFileError(f'{path} does not exist.') from None
    except OSError as error:
        raise BadSampleError(f'{path} cannot be read: {error.strerror or error}.') from error
    except ValueError as error:  # a path with a null byte
        raise BadSampleError(f'{path!r} cannot be read: {error}.') from error
    except KeyError as error:  # '://' further on
        raise BadSampleError(f'{path} cannot be read: there is no file backend {error}.') from error
    if not content:
        raise BadSampleError(f'{path} is empty (0 bytes).', 'empty')
    return content


def _check_png(path: str, content: bytes) -> list[tuple[bytes, bytes]]:
    """Name and bytes of each part of a PNG, compared with its checksum; none if it is no PNG.

    Pillow skips the checksums of the pixels.
    """
    if not content.startswith(b'\x89PNG'):
        return []
    parts, start, name = [], 8, b''
    while name != b'IEND':
        length = int.from_bytes(content[start : start + 4], 'big')
        name = content[start + 4 : start + 8]
        part = content[start : start + 12 + length]
        if len(part) < 12 + length:
            raise _undecodable(path, None, cut_off=True)
        if part[-4:] != struct.pack('>I', zlib.crc32(part[4:-4])):
            where = f'{name!r}, at byte {start}, differs from its checksum'
            message = f'{path} is damaged: {where}; fetch the file again.'
            raise BadSampleError(message, 'damaged')
        parts.append((name, part))
        start += len(part)
    return parts


def _png_ids(path: str, content: bytes) -> np.ndarray | None:
    """The ids in a PNG of 8-bit gray values or palette indices; None if that is not what it is."""
    if not content.startswith(_PNG) or content[24:26] not in (b'\x08\x00', b'\x08\x03'):
        return None
    if math.prod(struct.unpack_from('>II', content, 16)) > (Image.MAX_IMAGE_PIXELS or math.inf):
        return None
    header = b'IHDR' + content[16:25] + b'\0' + content[26:29]  # gray, whatever it was
    gray = [content[:12], header, struct.pack('>I', zlib.crc32(header))]
    gray += [part for name, part in _check_png(path, content) if name in (b'IDAT', b'IEND')]
    try:
        return cv2.imdecode(np.frombuffer(b''.join(gray), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _looks_cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; of no value for other formats."""
    if content.startswith(b'\x89PNG'):
        return content.rfind(b'IEND') < 0
    if not content.startswith(b'\xff\xd8') or content.endswith(b'\xff\xd9'):
        return False
    # something may follow the end of the image, but that must follow the last scan
    return content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda')


def _what_pillow_says(content: bytes, decode: bool = True) -> Exception | None:
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if decode:
            image.load()
    except Exception as error:  # decoders raise all sorts of errors
        return error
    return None


def _undecodable(path: str, reason, cut_off: bool = False) -> BadSampleError:
    if isinstance(reason, Image.DecompressionBombError):
        cure = 'Cut it into tiles, or raise PIL.Image.MAX_IMAGE_PIXELS.'
        return BadSampleError(f'{path} is too large: {reason} {cure}', 'too large')
    if isinstance(reason, UnidentifiedImageError) and not cut_off:
        return BadSampleError(f'{path} is not an image in one of the formats {", ".join(FORMATS)}.')
    if cut_off or 'truncated' in str(reason).lower():
        message = f'{path} is truncated: its end is missing. Fetch it again.'
        return BadSampleError(message, 'truncated')
    return BadSampleError(f'{path} cannot be decoded: {reason}.')
