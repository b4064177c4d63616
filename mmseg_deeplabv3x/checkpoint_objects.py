"""What a checkpoint of mmengine may be made of besides tensors and plain containers.

A training log is a ``HistoryBuffer``: NumPy arrays, and methods that pickle writes as
``getattr(HistoryBuffer, 'mean')``. For each name that pickle asks for, something stands here that
can do no more than that. The real ones can: ``getattr`` opens everything, the state of a
``numpy.dtype`` can turn an array's bytes into pointers, and that of a ``HistoryBuffer`` replaces
the statistics of all others.
"""

from __future__ import annotations

import pickle
import re

import numpy as np
from mmengine.logging import HistoryBuffer

_REBUILD_ARRAY = np.zeros(1).__reduce__()[0]
_REBUILD_SCALAR = np.float64(0).__reduce__()[0]
_STATISTICS = ('min', 'max', 'current', 'mean')


def allowed_objects() -> list:
    """What ``torch.serialization.add_safe_globals`` is to allow."""
    allowed = [
        (LoggedHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (get_statistic, 'builtins.getattr'),
        (LoggedArray, 'numpy.ndarray'),
        (LoggedDtype, 'numpy.dtype'),
    ]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):  # of numpy 1 and 2
        allowed.append((rebuild_array, f'{module}.{_REBUILD_ARRAY.__name__}'))
        allowed.append((rebuild_scalar, f'{module}.{_REBUILD_SCALAR.__name__}'))
    return allowed


def why_refused(error: Exception) -> str:
    """Say in a few words why a file is not loaded; torch's own text advises to trust it.

    Args:
        error: What ``torch.load`` raised.

    Returns:
        The reason, to stand after the name of the file.
    """
    text = str(error)
    own = re.search('it asks for .+ which could run code', text)
    if own:
        return own[0]
    asked = re.search(r'GLOBAL (\S+)', text)
    if asked:
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
    """Stands for ``numpy.ndarray``: an array of plain numbers, which is written as such again."""

    def __setstate__(self, state):
        *version, shape, dtype, is_fortran, data = state
        super().__setstate__((*version, shape, _plain(dtype), is_fortran, data))

    def __reduce_ex__(self, protocol):
        return self.view(np.ndarray).__reduce_ex__(protocol)


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


class LoggedHistory(HistoryBuffer):
    """Stands for ``HistoryBuffer``, and becomes one."""

    def __setstate__(self, state):
        methods = {name: getattr(HistoryBuffer, name) for name in _STATISTICS}
        if state.pop('statistics_methods', methods) != methods:
            _refuse('statistics that are not those of the training log')
        arrays = {name: state.pop(name) for name in ('_log_history', '_count_history')}
        if any(type(array) is not LoggedArray for array in arrays.values()) or set(state) != {
            'max_length'
        }:
            _refuse('a training log of another make')
        self.__class__ = HistoryBuffer
        self._set_default_statistics()
        self.max_length = state['max_length']
        for name, array in arrays.items():
            setattr(self, name, array.view(np.ndarray))


def get_statistic(owner, name):
    """Stand-in for ``getattr``: the statistics of the training log."""
    if owner is not LoggedHistory or name not in _STATISTICS:
        _refuse(f'attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)
