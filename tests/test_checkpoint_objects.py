"""What a checkpoint may be made of, and what happens to hostile ones at each door."""

from __future__ import annotations

import copy
import copyreg
import functools
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS

from mmseg_deeplabv3x.checkpoint_objects import why_refused
from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.engine.checkpoints.resume import newest_checkpoint, read_checkpoint

pytestmark = pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'),
    reason='before torch 2.6, torch.load itself lets everything through',
)


class Reduced:
    """Pickled as a call, which unpickling makes, and a state: how every hostile pickle works."""

    def __init__(self, function, *args, state=None):
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Never called; pickle wants to see that it can be."""


class Foreign:
    """A class that the reader of the checkpoint does have."""


REBUILD = np.zeros(1).__reduce__()[0]
SCALAR = np.float64(0).__reduce__()[0]
PLAIN = (3, '<', None, None, None, -1, -1, 0)


def dtype(code='f8', *args, state=PLAIN):
    return Reduced(np.dtype, code, *args, state=state)


def array(dtype, data=bytes(8)):
    return Reduced(REBUILD, np.ndarray, (0,), b'b', state=(1, (1,), dtype, False, data))


class Log(Reduced):
    """A ``HistoryBuffer`` of any state."""

    __class__ = HistoryBuffer  # or pickle would find out

    def __init__(self, **changes):
        state = dict(max_length=10, _log_history=np.zeros(1), _count_history=np.ones(1))
        super().__init__(copyreg.__newobj__, HistoryBuffer, state=dict(state, **changes))


POINTERS = (3, '<', None, ('a',), {'a': (Reduced(np.dtype, 'O'), 0)}, -1, -1, 0)

OBJECTS = {
    'os.system': lambda canary: Reduced(os.system, f'touch {canary}'),
    'eval': lambda canary: Reduced(eval, f'open({canary!r}, "w")'),
    'a chain of getattr': lambda canary: Reduced(
        getattr, Reduced(getattr, HistoryBuffer, 'mean'), '__globals__'
    ),
    'functools.partial': lambda canary: Reduced(Reduced(functools.partial, open, canary, 'w')),
    'a method of NumPy': lambda canary: Reduced(Reduced(getattr, np.ones(1), 'tofile'), canary),
    'a log of objects': lambda canary: Log(_log_history=array(dtype('f8', state=POINTERS))),
    'a class by NumPy': lambda canary: Reduced(REBUILD, Foreign, (0,), b'b'),
    'an array of objects': lambda canary: np.array([Reduced(os.mkdir, canary)], object),
    'an object as a number': lambda canary: Reduced(SCALAR, Reduced(np.dtype, 'O'), b'x'),
    'a number of objects': lambda canary: Reduced(SCALAR, dtype('f8,O'), b'x'),
    'pointers in an array': lambda canary: array(dtype('f8', False, True, state=POINTERS)),
    "NumPy's own float64": lambda canary: dtype(state=POINTERS),
    'a type of numbers with a wish': lambda canary: dtype(state=(*PLAIN, {'a': 1})),
    'a dunder': lambda canary: Reduced(getattr, HistoryBuffer, '__init__'),
    'globals': lambda canary: Reduced(getattr, getattr, '__globals__'),
    'a statistic': lambda canary: Log(statistics_methods={'mean': np.ndarray}),
    'a method of the log': lambda canary: Log(mean=np.ndarray),
    'a list in the log': lambda canary: Log(_log_history=[1]),
}


def save(path, canary, kind):
    torch.save(dict(meta={}, message_hub={}, state_dict=OBJECTS[kind](canary)), path)


def save_legacy(path, canary, kind):
    torch.save(OBJECTS[kind](canary), path, _use_new_zipfile_serialization=False)


def save_tar(path, canary):
    """As PyTorch 0.1 did."""
    with tarfile.open(path, 'w') as file:
        for name in ('storages', 'tensors', 'pickle'):
            content = pickle.dumps(Reduced(os.mkdir, canary), protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def save_script(path, canary):
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)


FILES = {
    **{kind: functools.partial(save, kind=kind) for kind in OBJECTS},
    **{f'legacy: {kind}': functools.partial(save_legacy, kind=kind) for kind in OBJECTS},
    'a tar file': save_tar,
    'TorchScript': save_script,
    'a pickle of today': lambda path, canary: path.write_bytes(
        pickle.dumps(Reduced(os.mkdir, canary), protocol=4)
    ),
}


@pytest.fixture(params=FILES)
def hostile(request, tmp_path):
    """A hostile file. Nothing of it may have been executed when the test ends."""
    canary = tmp_path / 'canary'
    statistics = dict(HistoryBuffer._statistics_methods)
    FILES[request.param](tmp_path / 'iter_1.pth', str(canary))
    yield tmp_path / 'iter_1.pth'
    assert not canary.exists()
    assert HistoryBuffer._statistics_methods == statistics
    assert np.dtype('f8').names is None


@pytest.fixture(params=['os.system', 'eval', 'functools.partial'])
def hostile_weights(request, tmp_path):
    save(tmp_path / 'evil.pth', str(tmp_path / 'canary'), request.param)
    yield str(tmp_path / 'evil.pth')
    assert not (tmp_path / 'canary').exists()


def check(error, path):
    message = str(error.value)
    assert str(path) in message and '\n' not in message and len(message) < 400
    assert 'weights_only' not in message, "torch's advice is to trust the file"


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_hostile_file_is_no_weights(hostile):
    with pytest.raises(ValueError, match='is not loaded: it ') as error:
        CheckpointLoader.load_checkpoint(str(hostile), map_location='cpu')
    check(error, hostile)
    assert 'could run code' in str(error.value) or hostile.read_bytes()[:2] == b'\x80\x04'


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_hostile_file_is_not_gone_on_from(hostile):
    with pytest.raises(ValueError) as error:
        read_checkpoint(str(hostile))
    check(error, hostile)
    assert newest_checkpoint(str(hostile.parent)) is None


@pytest.mark.parametrize('name', ['https://example.org/evil.pth', 'mmcls://vgg11'])
def test_weights_of_an_url_are_read_as_strictly(hostile_weights, monkeypatch, tmp_path, name):
    file = {'mmcls://vgg11': 'vgg11_batch256_imagenet_20210208-4271cd6c.pth'}.get(name, 'evil.pth')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    os.rename(hostile_weights, tmp_path / 'checkpoints' / file)
    with pytest.raises(ValueError, match='which could run code') as error:
        CheckpointLoader.load_checkpoint(name)
    check(error, name)


def test_pretrained_weights(hostile_weights):
    pretrained = dict(type='Pretrained', checkpoint=hostile_weights)
    with DefaultScope.overwrite_default_scope('mmseg'):
        backbone = MODELS.build(dict(type='AtrousResNet', depth=18, init_cfg=pretrained))
    with pytest.raises(ValueError, match='which could run code') as error:
        backbone.init_weights()
    check(error, hostile_weights)


@pytest.mark.parametrize('door', ['test', 'load_from', 'resume'])
def test_the_tools(hostile_weights, tiny_config, tmp_path, request, door):
    config = tiny_config(f'hostile_{door}_{request.node.callspec.indices["hostile_weights"]}')
    common = ['--work-dir', str(tmp_path / 'work')]
    options = ['--cfg-options', f'load_from={hostile_weights}']
    with pytest.raises((ValueError, SystemExit), match='which could run code') as error:
        if door == 'test':
            cli_test.test([config, hostile_weights, *common])
        else:
            cli_train.train(
                [config, *common, *options, *(['--resume'] if door == 'resume' else [])]
            )
    check(error, hostile_weights)


# ---------------------------------------------------------------- what is let in


def test_a_log_comes_back_as_what_it_was(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    torch.save([history, history], tmp_path / 'log.pth')
    loaded, again = torch.load(tmp_path / 'log.pth')
    assert loaded is again and type(loaded) is HistoryBuffer
    assert type(loaded.data[0]) is np.ndarray and loaded.statistics('mean') == 2
    assert vars(loaded).keys() == vars(HistoryBuffer()).keys()


@pytest.mark.parametrize('order', 'CF')
@pytest.mark.parametrize('code', ['<f4', '>i4', '?', 'u1', '<f2', '>u8'])
def test_arrays_of_numbers_come_back_and_are_written_again_as_plain_ones(tmp_path, code, order):
    array = np.arange(6).reshape(2, 3).astype(code, order=order)
    torch.save(dict(array=array, number=array[1, 2]), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth')
    native = array.dtype.newbyteorder('=')  # as NumPy has it
    assert loaded['array'].dtype == native and loaded['number'].dtype == array[1, 2].dtype
    assert np.array_equal(loaded['array'], array) and loaded['number'] == array[1, 2]
    for written in (pickle.loads(pickle.dumps(loaded, p))['array'] for p in (2, 5)):
        assert type(written) is np.ndarray and np.array_equal(written, array)
    assert np.array_equal(copy.deepcopy(loaded)['array'], array)


def test_weights_for_another_device_are_no_hostile_file():
    with pytest.raises(RuntimeError) as error:
        torch.load(io.BytesIO(_on_cuda()))
    assert 'map_location' in why_refused(error.value)


def _on_cuda():
    """A checkpoint of a tensor on a GPU, written without one."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(1), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue().replace(b'X\x03\x00\x00\x00cpu', b'X\x06\x00\x00\x00cuda:9')
