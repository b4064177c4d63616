"""What a checkpoint may be made of, and what happens to hostile ones at each door."""

import copyreg
import functools
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS

from mmseg_deeplabv3x.checkpoint_objects import load_safely, why_refused
from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.messages import install_messages
from mmseg_deeplabv3x.engine.checkpoints.resume import newest_checkpoint, read_checkpoint


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
    'a method that is no statistic': lambda canary: Reduced(
        getattr, HistoryBuffer, 'register_statistics'
    ),
    'getattr on another allowed class': lambda canary: Reduced(getattr, np.ndarray, 'tofile'),
    'getattr with a default': lambda canary: Reduced(getattr, np.ndarray, 'mean', eval),
    'a statistic of its own': lambda canary: Reduced(HistoryBuffer.register_statistics, print),
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


ARCHIVES = {kind: functools.partial(save, kind=kind) for kind in OBJECTS}
FILES = {
    **ARCHIVES,
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


@pytest.fixture
def messages():
    install_messages()


def check(error, path):
    message = str(error.value)
    assert str(path) in message and '\n' not in message and len(message) < 400
    assert 'weights_only' not in message, "torch's advice is to trust the file"


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_hostile_file_is_no_weights(hostile, messages):
    with pytest.raises(ValueError, match='is not loaded: it ') as error:
        CheckpointLoader.load_checkpoint(str(hostile), map_location='cpu')
    check(error, hostile)
    assert 'could run code' in str(error.value) or hostile.read_bytes()[:2] == b'\x80\x04'


@pytest.mark.parametrize('hostile', [*ARCHIVES, 'TorchScript'], indirect=True)
def test_a_hostile_file_is_not_gone_on_from(hostile):
    with pytest.raises(
        ValueError, match='which (no checkpoint needs and which )?could run code'
    ) as error:
        read_checkpoint(str(hostile))
    check(error, hostile)
    assert newest_checkpoint(str(hostile.parent)) == (None, None)


@pytest.mark.parametrize('name', ['https://example.org/evil.pth', 'mmcls://vgg11'])
def test_weights_of_an_url_are_read_as_strictly(
    hostile_weights, monkeypatch, tmp_path, name, messages
):
    file = {'mmcls://vgg11': 'vgg11_batch256_imagenet_20210208-4271cd6c.pth'}.get(name, 'evil.pth')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    os.rename(hostile_weights, tmp_path / 'checkpoints' / file)
    with pytest.raises(ValueError, match='which could run code') as error:
        CheckpointLoader.load_checkpoint(name)
    check(error, name)


def test_pretrained_weights(hostile_weights, messages):
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
    loaded, again = reloaded([history, history], tmp_path)
    assert loaded is again and type(loaded) is HistoryBuffer
    assert type(loaded.data[0]) is np.ndarray and loaded.statistics('mean') == 2
    assert vars(loaded).keys() == vars(HistoryBuffer()).keys()


@pytest.mark.parametrize('order', 'CF')
@pytest.mark.parametrize('code', ['<f4', '>i4', '?', 'u1', '<f2', '>u8'])
def test_arrays_of_numbers_come_back(tmp_path, code, order):
    array = np.arange(6).reshape(2, 3).astype(code, order=order)
    loaded = reloaded(dict(array=array, number=array[1, 2], type=array.dtype), tmp_path)
    native = array.dtype.newbyteorder('=')  # as NumPy has it
    assert type(loaded['array']) is np.ndarray and np.array_equal(loaded['array'], array)
    assert (loaded['array'].dtype, loaded['type']) == (native, array.dtype)
    assert loaded['number'] == array[1, 2] and loaded['number'].dtype == array[1, 2].dtype


def test_real_objects_are_found_in_any_container(tmp_path):
    array = np.arange(3.0)
    inner = [array]
    inner.append(inner)  # holds itself
    content = dict(deep=OrderedDict(a=(1, [(array, inner)])), tensor=torch.ones(2))
    loaded = reloaded(content, tmp_path)
    ((number, ((found, again),)),) = loaded['deep'].values()
    assert number == 1 and again[1] is again and again[0] is found
    assert type(found) is np.ndarray and found.tolist() == [0, 1, 2]
    assert loaded['tensor'].tolist() == [1, 1]


def reloaded(content, folder):
    torch.save(content, folder / 'a.pth')
    return load_safely(torch.load, folder / 'a.pth')


def test_weights_for_another_device_are_no_hostile_file():
    with pytest.raises(RuntimeError) as error:
        torch.load(io.BytesIO(_on_cuda()))
    assert 'map_location' in why_refused(error.value)


def _on_cuda():
    """A checkpoint of a tensor on a GPU, written without one."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(1), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue().replace(b'X\x03\x00\x00\x00cpu', b'X\x06\x00\x00\x00cuda:9')


# ---------------------------------------------------------------- others in the same process

# What a user's own script may do, by name; each result is printed, errors too.
SCRIPT = """
import functools, importlib.util, io, sys
import numpy as np, torch
if importlib.util.find_spec('timm'):
    import timm  # mmseg does, and timm lets torch allow a class of its own
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

if 'ours' in sys.argv:
    import mmseg_deeplabv3x
    load = CheckpointLoader._get_checkpoint_loader(sys.argv[1])
    torch.save([HistoryBuffer([1.0], [1]), np.ones(2)], sys.argv[1])
    log, array = load(sys.argv[1], 'cpu')
    assert (type(log), type(array)) == (HistoryBuffer, np.ndarray)

ours = np.zeros(1).__reduce__()[0].__module__.encode()

def saved(value, module=ours.decode()):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return io.BytesIO(file.getvalue().replace(ours, module.encode()))

rebuild, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
float64 = type(np.dtype('f8'))
array = [rebuild, np.ndarray, np.dtype, float64]
for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
    named = [(rebuild, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    for allowed in ([], array, [scalar, np.dtype, float64], [*array[1:], *named]):
        for value in (np.arange(3.0), np.float64(7), np.dtype('f8'), HistoryBuffer([1.0], [1])):
            for strict in (None, True, False):
                try:
                    with torch.serialization.safe_globals(allowed):
                        loaded = torch.load(saved(value, module), weights_only=strict)
                    print(type(loaded), type(loaded).__mro__, loaded)
                except Exception as error:
                    print(type(error), str(error).splitlines()[0])
torch.serialization.add_safe_globals(array)
if 'ours' in sys.argv:
    log, array = load(sys.argv[1], 'cpu')
    assert (type(log), type(array)) == (HistoryBuffer, np.ndarray)
loaded = torch.load(saved(np.arange(3.0)))
print(type(loaded), loaded, sorted(map(str, torch.serialization.get_safe_globals())))
"""


def test_what_a_users_own_script_loads_is_as_without_us(tmp_path):
    said = []
    for argument in ('plain', 'ours'):
        line = [sys.executable, '-W', 'ignore', '-c', SCRIPT, str(tmp_path / 'log.pth'), argument]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(re.sub('0x[0-9a-f]+', '', done.stdout).splitlines())
    plain, ours = said
    assert ours == plain
    assert len(plain) == 2 * 4 * 4 * 3 + 1 and len(set(plain)) > 5


def test_what_others_allowed_meanwhile_stays_allowed(tmp_path):
    def load():
        torch.serialization.add_safe_globals([Foreign])  # as an import on the way may do

    before = torch.serialization.get_safe_globals()
    try:
        load_safely(load)
        assert set(torch.serialization.get_safe_globals()) == {*before, Foreign}
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_an_error_leaves_nothing_behind(tmp_path, monkeypatch):
    for value in (None, '0'):
        if value:
            monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', value)
        before = dict(os.environ), set(torch.serialization.get_safe_globals())
        with pytest.raises(ZeroDivisionError):
            load_safely(lambda: 1 / 0)
        assert (dict(os.environ), set(torch.serialization.get_safe_globals())) == before
