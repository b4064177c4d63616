"""TensorFlow's checkpoints (V2, a "tensor bundle"), read without TensorFlow.

The index is a table of LevelDB (its ``doc/table_format.md``): blocks of keys that share prefixes,
listed in a last block. Its values are protocol buffers that say where in the data files a tensor
lies (``tensorflow/core/protobuf/tensor_bundle.proto``).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_MAGIC = bytes.fromhex('57fb808b247547db')
# DataType of types.proto
_TYPES = {1: '<f4', 2: '<f8', 3: '<i4', 4: 'u1', 6: 'i1', 9: '<i8', 10: '?', 19: '<f2'}


def bundle_index(path: Path) -> Path | None:
    """The file ``NAME.index`` of a checkpoint that is given as that, ``NAME``, or a data file.

    None if it is no checkpoint of TensorFlow.
    """
    name = path.name.removesuffix('.index').split('.data-')[0]
    index = path.with_name(f'{name}.index')
    return index if index.is_file() else None


def read_bundle(index: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a checkpoint; what are no plain numbers (strings) is left out.

    ``NAME.data-00000-of-00001`` and so on lie beside ``index``, ``NAME.index``.

    Raises:
        ValueError: If it is no such file, or has what is not read: compressed blocks, tensors in
            slices, numbers in big-endian order.
        OSError: If a data file is missing.
    """
    try:
        return dict(_tensors(index))
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError('its index is damaged') from error


def _tensors(index: Path) -> Iterator[tuple[str, np.ndarray]]:
    table = index.read_bytes()
    if table[-8:] != _MAGIC:
        raise ValueError('it is no index of a checkpoint (V2) of TensorFlow')
    (_, _, *place), _ = _varints(table[-48:], 4)
    entries = {}
    for _, handle in _block(table, *place):
        entries.update(_block(table, *_varints(handle, 2)[0]))
    header = _message(entries.pop(b''))
    if header.get(2):
        raise ValueError('its numbers are in big-endian order')
    for key, value in entries.items():
        name, entry = key.decode(), _message(value)
        if 7 in entry:
            raise ValueError(f'{name} is in slices: save it whole')
        dtype = _TYPES.get(entry[1][0])
        if dtype is None:
            continue
        sizes = [_message(size).get(1, [0])[0] for size in _message(entry[2][0]).get(2, [])]
        shard, begin, size = (entry.get(field, [0])[0] for field in (3, 4, 5))
        file = f'{index.stem}.data-{shard:05}-of-{header.get(1, [1])[0]:05}'
        with open(index.with_name(file), 'rb') as data:
            data.seek(begin)
            yield name, np.frombuffer(bytearray(data.read(size)), dtype).reshape(sizes)


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block, which a byte that is 0 where it is not compressed follows."""
    if table[offset + size]:
        raise ValueError('its index is compressed')
    block = table[offset : offset + size]
    block = block[: size - 4 * (int.from_bytes(block[-4:], 'little') + 1)]
    key = b''
    while block:
        (shared, own, length), place = _varints(block, 3)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        block = block[place + length :]


def _message(data: bytes) -> dict[int, list]:
    """Fields of a protocol buffer: number -> values."""
    fields: dict[int, list] = {}
    while data:
        (tag,), place = _varints(data, 1)
        kind = tag & 7
        if kind in (0, 2):
            (value,), size = _varints(data[place:], 1)
            place += size
        if kind:  # not a number, but bytes: as many as it says, or 8, or 4
            end = place + (value if kind == 2 else {1: 8, 5: 4}[kind])
            value, place = data[place:end], end
        fields.setdefault(tag >> 3, []).append(value)
        data = data[place:]
    return fields


def _varints(data: bytes, count: int) -> tuple[list[int], int]:
    """So many numbers of 7 bits a byte, the lowest first, and where they end."""
    numbers, place = [], 0
    for _ in range(count):
        number = shift = 0
        while data[place] > 127:
            number |= (data[place] & 127) << shift
            place, shift = place + 1, shift + 7
        numbers.append(number | data[place] << shift)
        place += 1
    return numbers, place
