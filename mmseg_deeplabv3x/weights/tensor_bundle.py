"""TensorFlow's checkpoints (its "tensor bundle", V2), read without TensorFlow.

The index is a table of LevelDB: blocks of keys that share prefixes, listed in a last block. Its
values are protocol buffers that say where in the data files a tensor lies. Formats:
``tensorflow/core/protobuf/tensor_bundle.proto`` and LevelDB's ``doc/table_format.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_MAGIC = bytes.fromhex('57fb808b247547db')
# DataType of types.proto
_TYPES = {1: '<f4', 2: '<f8', 3: '<i4', 4: 'u1', 6: 'i1', 9: '<i8', 10: '?', 19: '<f2'}


def bundle_index(path: Path) -> Path | None:
    """The index file of a checkpoint that is named with or without its ending, or by a data file.

    Returns:
        None if it is no checkpoint of TensorFlow.
    """
    name = path.name.removesuffix('.index').split('.data-')[0]
    index = path.with_name(f'{name}.index')
    return index if index.is_file() else None


def read_bundle(index: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a checkpoint.

    Args:
        index: The file ``NAME.index``; ``NAME.data-00000-of-00001`` and so on lie beside it.

    Returns:
        Name -> array; what are no plain numbers (strings) is left out.

    Raises:
        ValueError: If it is no such file, or of a kind that is not read: compressed, a tensor in
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
    shards = header.get(1, [1])[0]
    if header.get(2, [0])[0]:
        raise ValueError('its numbers are in big-endian order')
    for key, value in entries.items():
        entry = _message(value)
        if 7 in entry:
            raise ValueError(f'{key.decode()} is in slices: save it whole')
        dtype = _TYPES.get(entry[1][0])
        if dtype is None:
            continue
        sizes = [_message(dim).get(1, [0])[0] for dim in _message(entry[2][0]).get(2, [])]
        shard, begin, size = (entry.get(field, [0])[0] for field in (3, 4, 5))
        with open(index.with_name(f'{index.stem}.data-{shard:05}-of-{shards:05}'), 'rb') as data:
            data.seek(begin)
            content = data.read(size)
        yield key.decode(), np.frombuffer(bytearray(content), dtype).reshape(sizes)


def _varints(data: memoryview | bytes, count: int) -> tuple[list[int], int]:
    """So many numbers of 7 bits a byte, and where they end."""
    numbers, place = [], 0
    for _ in range(count):
        number = shift = 0
        while True:
            byte = data[place]
            place += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        numbers.append(number)
    return numbers, place


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    if table[offset + size]:
        raise ValueError('its index is compressed')
    block = memoryview(table)[offset : offset + size]
    restarts = int.from_bytes(block[-4:], 'little')
    block = block[: size - 4 * (restarts + 1)]
    key = b''
    while block:
        (shared, own, length), place = _varints(block, 3)
        key = key[:shared] + bytes(block[place : place + own])
        yield key, block[place + own : place + own + length]
        block = block[place + own + length :]


def _message(data: memoryview | bytes) -> dict[int, list]:
    """Fields of a protocol buffer: number -> values."""
    fields: dict[int, list] = {}
    while data:
        (tag,), place = _varints(data, 1)
        kind = tag & 7
        if kind == 0:
            (value,), end = _varints(data[place:], 1)
            end += place
        else:
            if kind == 2:
                (length,), begin = _varints(data[place:], 1)
                place += begin
            else:
                length = {1: 8, 5: 4}[kind]
            end = place + length
            value = data[place:end]
        fields.setdefault(tag >> 3, []).append(value)
        data = data[end:]
    return fields
