"""How many pixels of each class every mask of a dataset holds."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..files import written_aside
from .parallel import map_files
from .reading import is_local, read_mask

_IDS = 256  # labels are uint8


def count_labels(
    masks: Sequence[str], cache_file: str | os.PathLike, backend_args: dict | None = None
) -> np.ndarray:
    """Count the pixels of each raw label id in each mask.

    Counts are kept in ``cache_file``, and taken from there for every mask whose size and
    time of modification are still the same. Files are named relative to the cache file, which so
    may move together with the data. Masks that are not asked for stay in the cache.
    Masks behind another file backend have no such time, and are counted anew each time.

    Args:
        masks: Paths of palette or gray masks.
        cache_file: An ``.npz`` file, made where it is missing and written aside and renamed.
        backend_args: Arguments of mmengine's file backend; by default the path tells which.

    Returns:
        Int32 (number of masks, 256).

    Raises:
        FileNotFoundError: If masks are missing.
        BadSampleError: If a mask is RGB or cannot be decoded; a ValueError.
    """

    def count(mask):
        return _count(mask, backend_args)

    title = 'Counting the classes of masks'
    if not all(is_local(mask, backend_args) for mask in masks):
        return np.stack(map_files(count, masks, title))
    cache_file = Path(cache_file).absolute()
    cache = _read(cache_file)
    names = [os.path.relpath(mask, cache_file.parent) for mask in masks]
    states = _states(masks)
    stale = [i for i, name in enumerate(names) if name not in cache or cache[name][0] != states[i]]
    if stale:
        counts = map_files(count, [masks[i] for i in stale], title)
        cache.update((names[i], (states[i], found)) for i, found in zip(stale, counts))
        try:
            _write(cache_file, cache)
        except OSError as error:  # the cache only saves time
            print_log(
                f'The class index cannot be saved and will be counted anew next time: {error}',
                'current',
                logging.WARNING,
            )
    return np.stack([cache[name][1] for name in names])


def default_cache_file(data_root: str | os.PathLike) -> Path:
    """Where a dataset's counts are kept: in its root, or, if that is read-only, with the user.

    Args:
        data_root: The root of the dataset.

    Returns:
        The path of an ``.npz`` file, which need not exist.
    """
    data_root = Path(data_root).absolute()
    if os.access(data_root, os.W_OK):
        return data_root / 'class_index.npz'
    user = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    key = hashlib.sha256(str(data_root).encode()).hexdigest()[:16]
    return user / 'mmseg_deeplabv3x' / f'class_index_{key}.npz'


def id_table(reduce_zero_label: bool, label_map: dict | None) -> np.ndarray:
    """What mmseg's ``LoadAnnotations`` makes of each raw label id.

    Args:
        reduce_zero_label: Whether id 0 becomes 255 and each other id one less.
        label_map: New id of each id, applied afterwards; None for none.

    Returns:
        Uint8 (256,): the id that a raw id turns into.
    """
    table = np.arange(_IDS)
    if reduce_zero_label:
        table = np.where((table == 0) | (table == 255), 255, table - 1)
    mapped = table.copy()
    for old, new in (label_map or {}).items():
        mapped[table == old] = new
    return mapped.astype(np.uint8)


def _states(masks: Sequence[str]) -> list[tuple[int, int]]:
    """Size and time of modification of each file."""
    states, missing = [], []
    for mask in masks:
        try:
            state = os.stat(mask)
            states.append((state.st_size, state.st_mtime_ns))
        except FileNotFoundError:
            missing.append(mask)
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(masks)} masks are missing, for example '
            f'{", ".join(missing[:3])}.'
        )
    return states


def _count(mask: str, backend_args: dict | None) -> np.ndarray:
    return np.bincount(read_mask(mask, backend_args).ravel(), minlength=_IDS).astype(np.int32)


def _read(cache_file: Path) -> dict[str, tuple[tuple[int, int], np.ndarray]]:
    """Cached state and counts by name; empty if there is no cache file of this kind."""
    try:
        with np.load(cache_file) as stored:
            names, states, counts = stored['names'], stored['states'], stored['counts']
        if states.shape != (len(names), 2) or counts.shape != (len(names), _IDS):
            raise ValueError(f'shapes {states.shape} and {counts.shape}')
        return {
            str(name): ((int(size), int(time)), count)
            for name, (size, time), count in zip(names, states, counts.astype(np.int32))
        }
    except FileNotFoundError:
        return {}
    except Exception:  # whatever the bytes of another file lead to
        print_log(f'{cache_file} is not a class index and is replaced.', 'current', logging.WARNING)
        return {}


def _write(cache_file: Path, cache: dict) -> None:
    with written_aside(cache_file) as aside, open(aside, 'wb') as file:
        np.savez_compressed(
            file,
            names=np.array(list(cache)),
            states=np.array([state for state, _ in cache.values()], np.int64),
            counts=np.array([count for _, count in cache.values()], np.int32),
        )
