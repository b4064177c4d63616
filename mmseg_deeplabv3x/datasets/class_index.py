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
from .reading import WIDE_VOID, is_local, read_mask

_IDS = 256  # at least: most masks are of 8 bits


def count_labels(
    masks: Sequence[str], cache_file: str | os.PathLike, backend_args: dict | None = None
) -> np.ndarray:
    """Count the pixels of each raw label id in each mask, palette or gray.

    Counts are kept in ``cache_file``, an ``.npz``, and taken from there for every mask whose size
    and time of modification are still the same. Files are named relative to it, so it may move
    together with the data. Masks that are not asked for stay in it. Masks behind another file
    backend have no such time, and are counted anew each time.

    Returns:
        Int32 (number of masks, 256); wider, up to the highest id, if masks of 16 bits hold more.
        65535, "no label", does not count.
    """

    def count(mask):
        ids = read_mask(mask, backend_args, wide=True).ravel()
        if ids.dtype != np.uint8:
            ids = ids[ids != WIDE_VOID]
        return np.bincount(ids, minlength=_IDS).astype(np.int32)

    title = 'Counting the classes of masks'
    if not all(is_local(mask, backend_args) for mask in masks):
        return _stack(map_files(count, masks, title))
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
    return _stack([cache[name][1] for name in names])


def default_cache_file(data_root: str | os.PathLike) -> Path:
    """Where a dataset's counts are kept: in its root, or, if that is read-only, with the user."""
    data_root = Path(data_root).absolute()
    if os.access(data_root, os.W_OK):
        return data_root / 'class_index.npz'
    user = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    key = hashlib.sha256(str(data_root).encode()).hexdigest()[:16]
    return user / 'mmseg_deeplabv3x' / f'class_index_{key}.npz'


def id_table(
    reduce_zero_label: bool, label_map: dict | None, ids: int = _IDS, wide: bool = False
) -> np.ndarray:
    """What mmseg's ``LoadAnnotations`` makes of each raw label id, uint8 (256,), or uint16 (ids,).

    With ``reduce_zero_label`` id 0 becomes 255 (65535 of more than 256 ids, or where 255 is a
    class, which ``wide`` tells) and each other id one less; then ``label_map`` gives each id that
    it names another.
    """
    table, void = np.arange(ids), WIDE_VOID if wide or ids > _IDS else 255
    if reduce_zero_label:
        table = np.where((table == 0) | (table == void), void, table - 1)
    mapped = table.copy()
    for old, new in (label_map or {}).items():
        mapped[table == old] = new
    return mapped.astype(np.min_scalar_type(void))


def rare_classes(names: Sequence[str], pixels: Sequence[int]) -> list[str]:
    """Classes with less than half the pixels of the median class, the rarest first.

    Candidates for the ``hard_classes`` of ``BootstrapDataset``. Rare is not the same as hard: the
    IoU of each class after a first run tells better. Classes without a pixel do not count.
    """
    present = sorted((count, name) for count, name in zip(pixels, names) if count)
    if not present:
        return []
    median = np.median([count for count, _ in present])
    return [name for count, name in present if count < median / 2]


def _stack(counts: list[np.ndarray]) -> np.ndarray:
    ids = max(map(len, counts), default=_IDS)
    return np.stack([np.pad(count, (0, ids - len(count))) for count in counts])


def _states(masks: Sequence[str]) -> list[tuple[int, int]]:
    """Size and time of modification of each file."""
    missing = [mask for mask in masks if not os.path.exists(mask)]
    if missing:
        count = f'{len(missing)} of {len(masks)} masks are missing'
        raise FileNotFoundError(f'{count}, for example {", ".join(missing[:3])}.')
    states = [os.stat(mask) for mask in masks]
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _read(cache_file: Path) -> dict[str, tuple[tuple[int, int], np.ndarray]]:
    """Cached state and counts by name; empty if there is no cache file of this kind."""
    try:
        with np.load(cache_file) as stored:
            names, states, counts = stored['names'], stored['states'], stored['counts']
        known = states.shape == (len(names), 2) and len(counts) == len(names)
        if not known or counts.shape[1] < _IDS:
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
            counts=_stack([count for _, count in cache.values()]),
        )
