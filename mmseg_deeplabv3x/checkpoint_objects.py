"""What a checkpoint of mmengine may be made of besides tensors and plain containers.

A training log is a ``HistoryBuffer``: NumPy arrays, and methods that pickle writes as
``getattr(HistoryBuffer, 'mean')``. For each name that pickle asks for, something stands here that
can do no more than that. The real ones can: ``getattr`` opens everything, the state of a
``numpy.dtype`` can turn an array's bytes into pointers, and that of a ``HistoryBuffer`` replaces
the statistics of all others. The stand-ins are known to PyTorch only while :func:`load_safely` is
reading, and what it returns holds the real objects.
"""

import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_REBUILD_ARRAY = np.zeros(1).__reduce__()[0]
_REBUILD_SCALAR = np.float64(0).__reduce__()[0]
_STATISTICS = ('min', 'max', 'current', 'mean')
_LOCK = threading.RLock()  # PyTorch's list is one for all threads


def load_safely(load: Callable[..., Any], *args, **kwargs) -> Any:
    """Call something that loads a checkpoint; only tensors, plain containers and logs are let in.

    ``torch.load`` then restricts itself even where its caller asks it not to (``torch.hub`` does,
    for whatever comes from a URL). Only ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD``, with which a user
    trusts all files, is left in force.
    """
    with _LOCK, _allowed_objects(), _weights_only():
        return _replace_stand_ins(load(*args, **kwargs), {})


@contextmanager
def _allowed_objects() -> Iterator[None]:
    """Let PyTorch know the stand-ins, and no other objects of their names."""
    ours = {
        (LoggedHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (get_statistic, 'builtins.getattr'),
        (LoggedArray, 'numpy.ndarray'),
        (LoggedDtype, 'numpy.dtype'),
    }
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):  # of numpy 1 and 2
        ours.add((rebuild_array, f'{module}.{_REBUILD_ARRAY.__name__}'))
        ours.add((rebuild_scalar, f'{module}.{_REBUILD_SCALAR.__name__}'))
    known = set(torch.serialization.get_safe_globals())
    hidden = {entry for entry in known if _name(entry) in {name for _, name in ours}}
    _set_safe_globals((known - hidden) | ours)
    try:
        yield
    finally:
        _set_safe_globals((set(torch.serialization.get_safe_globals()) - ours) | hidden)


def _name(entry: Callable | tuple[Callable, str]) -> str:
    """The name that an entry of PyTorch's list allows."""
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'


def _set_safe_globals(entries: set) -> None:
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(entries))


@contextmanager
def _weights_only() -> Iterator[None]:
    """Let ``torch.load`` read as with ``weights_only=True``, whatever it is called with."""
    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(name)
    if 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' not in os.environ:  # PyTorch refuses both
        os.environ[name] = '1'
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _replace_stand_ins(loaded: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    """Put the real objects in the place of the stand-ins, in any containers.

    Dictionaries and lists are changed in place. ``done`` holds, by identity, what was replaced
    (which must live on for that) and by what.
    """
    if id(loaded) in done:
        return done[id(loaded)][1]
    real = loaded
    if isinstance(loaded, (dict, list)):
        done[id(loaded)] = loaded, loaded  # it may hold itself
        for key, value in loaded.items() if isinstance(loaded, dict) else enumerate(loaded):
            loaded[key] = _replace_stand_ins(value, done)
    elif type(loaded) is tuple:
        real = tuple(_replace_stand_ins(value, done) for value in loaded)
    elif isinstance(loaded, LoggedArray):
        real = loaded.view(np.ndarray)
    elif isinstance(loaded, LoggedDtype):
        real = loaded.dtype
    elif isinstance(loaded, LoggedHistory):
        real = loaded.history
    done[id(loaded)] = loaded, real
    return real


def why_refused(error: Exception) -> str:
    """Say in a few words why a file is not loaded; torch's own text advises to trust it."""
    text = str(error)
    if own := re.search('it asks for .+ which could run code', text):
        return own[0]
    if asked := re.search(r'GLOBAL (\S+)', text):
        return _asks_for(asked[1])
    if 'Trying to call reduce' in text or 'Can only' in text:
        return _asks_for('objects of its own making')
    if 'legacy .tar' in text or 'TorchScript' in text:
        return 'it is a TorchScript archive or a .tar file, which could run code, and no checkpoint'
    if 'map_location' in text:  # nothing wrong with the file: it is for another device
        return text.rstrip('.')
    return getattr(error, 'strerror', None) or 'it is no checkpoint, or damaged'


def _asks_for(what: str) -> str:
    return f'it asks for {what}, which no checkpoint needs and which could run code'


def _refuse(what: str) -> None:
    raise pickle.UnpicklingError(_asks_for(what))


class LoggedDtype:
    """Stands for ``numpy.dtype``: the type of one plain number."""

    def __init__(self, code, align=False, copy=True):
        if not isinstance(code, str) or not re.fullmatch('[?bhilqBHILQefd]|[biuf][1248]', code):
            _refuse(f'the NumPy type {code!r}')
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        if len(state) != 8 or state[1] not in ('<', '>', '|', '='):
            _refuse('a NumPy type of another make')
        if tuple(state[2:]) != (None, None, None, -1, -1, 0):
            _refuse('a NumPy type with parts')
        self.dtype = self.dtype.newbyteorder(state[1])


class LoggedArray(np.ndarray):
    """Stands for ``numpy.ndarray``: an array of plain numbers."""

    def __setstate__(self, state):
        *version, shape, dtype, is_fortran, data = state
        super().__setstate__((*version, shape, _plain(dtype), is_fortran, data))


def rebuild_array(kind, shape, code) -> LoggedArray:
    """Stand-in for NumPy's function of this name: an empty array, which gets its state later."""
    if kind is not LoggedArray:
        _refuse(f'an array of the type {kind!r}')
    return LoggedArray((0,), np.int8)


def rebuild_scalar(dtype: LoggedDtype, data: bytes) -> np.generic:
    """Stand-in for NumPy's function of this name."""
    return _REBUILD_SCALAR(_plain(dtype), data)


def _plain(dtype) -> np.dtype:
    if type(dtype) is not LoggedDtype:
        _refuse(f'the NumPy type {dtype!r}')
    return dtype.dtype


class LoggedHistory:
    """Stands for ``HistoryBuffer``, and makes one."""

    def __setstate__(self, state):
        methods = {name: getattr(HistoryBuffer, name) for name in _STATISTICS}
        if state.pop('statistics_methods', methods) != methods:
            _refuse('statistics that are not those of the training log')
        arrays = [state.pop('_log_history'), state.pop('_count_history')]
        if any(type(array) is not LoggedArray for array in arrays) or set(state) != {'max_length'}:
            _refuse('a training log of another make')
        log, count = (array.view(np.ndarray) for array in arrays)
        self.history = HistoryBuffer(log, count, state['max_length'])


def get_statistic(owner, name):
    """Stand-in for ``getattr``: the statistics of the training log."""
    if owner is not LoggedHistory or name not in _STATISTICS:
        _refuse(f'attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)
