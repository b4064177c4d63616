from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
import warnings

import mmcv
import mmengine.fileio.file_client
import numpy as np
import pytest
import torch
from mmcv.utils import ext_loader
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_deeplabv3x import compat

# ---------------------------------------------------------------- which mmcv


def without(name):
    """A ``find_spec`` that does not find ``name``."""
    find_spec = importlib.util.find_spec
    return lambda wanted, *args: None if wanted == name else find_spec(wanted, *args)


def test_no_mmcv_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', without('mmcv'))
    with pytest.raises(ImportError, match=r"pip install -e '.\[lite\]'"):
        compat.check_mmcv()


@pytest.mark.parametrize('version', ['2.2.0', '2.10.1', '3.0.0rc1'])
def test_too_new_mmcv_says_which_to_install(monkeypatch, version):
    monkeypatch.setattr(mmcv, '__version__', version)
    with pytest.raises(ImportError, match=rf'mmcv {version} is installed.*mmcv-lite>=2.1,<2.2'):
        compat.check_mmcv()


@pytest.mark.parametrize('version', ['2.0.0', '2.1.0'])
def test_mmcv_that_mmseg_takes_is_no_error(monkeypatch, version):
    monkeypatch.setattr(mmcv, '__version__', version)
    compat.check_mmcv()


# ---------------------------------------------------------------- compiled ops


@pytest.mark.skipif(
    importlib.util.find_spec('mmcv._ext') is not None, reason='a full mmcv has the compiled ops'
)
def test_an_op_of_mmcv_lite_raises_only_when_it_is_called():
    from mmcv.ops import roi_align  # the import is what fails without the placeholder

    with pytest.raises(ImportError, match='roi_align_forward is a compiled op.*full mmcv 2.1'):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2))


def test_mmcv_lite_gets_placeholder_ops(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', without('mmcv._ext'))
    monkeypatch.setattr(ext_loader, 'load_ext', None)
    compat.provide_missing_ops()
    assert 'mmcv._ext' not in sys.modules, 'others must still see that there are no ops'
    with pytest.raises(ImportError, match='nms is a compiled op'):
        ext_loader.load_ext('_ext', ['nms']).nms(1, iou_threshold=0.5)
    copy.deepcopy(ext_loader.load_ext('_ext', []))


def test_a_full_mmcv_is_left_as_it_is(monkeypatch):
    def load_ext(name, funcs):
        raise AssertionError('not called')

    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *args: object())
    monkeypatch.setattr(ext_loader, 'load_ext', load_ext)
    compat.provide_missing_ops()
    assert ext_loader.load_ext is load_ext


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def training_log():
    hub = MessageHub('test_compat')
    for step in range(3):
        hub.update_scalar('train/loss', 1.0 / (step + 1))
    hub.update_info('best_score', np.float64(0.5))
    hub.update_info('random_state', np.random.RandomState(0).get_state())
    for code in '?bhilqBHILQefd':
        hub.update_info(f'array of {code}', np.ones(2, code))
    return hub


def test_the_log_of_a_checkpoint_comes_back(tmp_path, training_log):
    torch.save(dict(message_hub=training_log.state_dict()), tmp_path / 'iter_1.pth')
    loaded = torch.load(tmp_path / 'iter_1.pth')['message_hub']
    losses = loaded['log_scalars']['train/loss']
    assert losses.data[0].tolist() == [1.0, 1 / 2, 1 / 3]
    assert losses.mean() == pytest.approx(11 / 18)
    assert losses.statistics('min') == 1 / 3
    info = loaded['runtime_info']
    assert info['best_score'] == 0.5
    np.testing.assert_array_equal(info['array of f'], np.ones(2, 'f'))


@pytest.mark.parametrize('theirs', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_a_checkpoint_of_another_numpy_comes_back(tmp_path, theirs):
    path = tmp_path / 'iter_1.pth'
    # the old format, which is a bare pickle: module names can be replaced in it
    torch.save([np.arange(3.0), np.float64(7)], path, _use_new_zipfile_serialization=False)
    ours = np.zeros(1).__reduce__()[0].__module__.encode()
    written = path.read_bytes()
    assert ours in written
    path.write_bytes(written.replace(ours, theirs.encode()))
    array, scalar = torch.load(path)
    assert array.tolist() == [0, 1, 2]
    assert scalar == 7


class Reduced:
    """Pickled as a call, which unpickling makes: how every hostile pickle works."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


HOSTILE = {
    'a call of os.system': lambda path: Reduced(os.system, f'touch {path}'),
    'a call of eval': lambda path: Reduced(eval, f'open({str(path)!r}, "w")'),
    'getattr for the globals of a method': lambda path: Reduced(
        getattr, Reduced(getattr, HistoryBuffer, 'mean'), '__globals__'
    ),
    'getattr for a dunder of the allowed class': lambda path: Reduced(
        getattr, HistoryBuffer, '__init__'
    ),
    'getattr for a method that is no statistic': lambda path: Reduced(
        getattr, HistoryBuffer, 'register_statistics'
    ),
    'getattr on another allowed class': lambda path: Reduced(getattr, np.ndarray, 'tofile'),
    'getattr with a default': lambda path: Reduced(getattr, np.ndarray, 'mean', eval),
    'a statistic smuggled into the log': lambda path: Reduced(
        HistoryBuffer.register_statistics, print
    ),
}


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'),
    reason='before torch 2.6, torch.load itself lets everything through',
)
@pytest.mark.parametrize('kind', HOSTILE)
def test_a_hostile_checkpoint_is_refused(tmp_path, kind):
    torch.save(dict(meta=HOSTILE[kind](tmp_path / 'proof')), tmp_path / 'iter_1.pth')
    with pytest.raises((pickle.UnpicklingError, TypeError)):
        torch.load(tmp_path / 'iter_1.pth')
    assert not (tmp_path / 'proof').exists()


@pytest.mark.parametrize('version', ['2.1.0', '2.5.1+cu121'])
def test_an_old_torch_needs_no_list(monkeypatch, version):
    monkeypatch.setattr(torch, '__version__', version)
    monkeypatch.delattr(torch.serialization, 'add_safe_globals', raising=False)
    compat.allow_mmengine_checkpoints()


# ---------------------------------------------------------------- weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    from urllib.error import URLError

    def refuse(*args, **kwargs):
        raise URLError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    'name, file',
    [
        ('torchvision://resnet101', 'resnet101-63fe2227.pth'),
        ('open-mmlab://resnet101_v1c', 'resnet101_v1c-e67eebb6.pth'),
        ('mmcls://vgg11', 'vgg11_batch256_imagenet_20210208-4271cd6c.pth'),
        ('https://example.org/weights.pth', 'weights.pth'),
    ],
)
def test_weights_that_cannot_be_had_are_named(offline, name, file):
    with pytest.raises(FileNotFoundError) as error:
        CheckpointLoader.load_checkpoint(name)
    for part in (name, f'/{file}', f'{offline}/checkpoints/{file}', 'local file', 'init_cfg'):
        assert part in str(error.value)


def test_weights_with_an_unknown_name_are_told_apart(offline):
    with pytest.raises(FileNotFoundError, match='open-mmlab://resnet13 is no name of weights'):
        CheckpointLoader.load_checkpoint('open-mmlab://resnet13')


def test_weights_that_are_there_are_loaded(offline):
    (offline / 'checkpoints').mkdir()
    torch.save(dict(conv=torch.ones(1)), offline / 'checkpoints/resnet101_v1c-e67eebb6.pth')
    assert CheckpointLoader.load_checkpoint('open-mmlab://resnet101_v1c')['conv'] == 1


# ---------------------------------------------------------------- warnings


def heard(text, module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        compat.quiet_own_warnings()
        warnings.warn_explicit(text, UserWarning, 'file.py', 1, module=module)
    return bool(caught)


@pytest.mark.parametrize('text, module', compat._OWN_WARNINGS)
def test_a_warning_is_dropped_by_text_and_module_only(text, module):
    assert not heard(f'{text} and so on', module)
    assert heard(f'{text} and so on', 'somewhere.else')
    assert heard('anything else', module)


def test_the_scaler_of_stock_amp_gives_no_deprecation_warning(monkeypatch):
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter('error', FutureWarning)
        compat.quiet_own_warnings()
        with warnings.catch_warnings():
            # what only a machine without a GPU hears
            warnings.filterwarnings('ignore', '.*CUDA is not available')
            amp_optimizer_wrapper.AmpOptimWrapper(optimizer=optimizer)


def test_a_log_line_is_lowered_by_text_only(monkeypatch):
    import logging

    lines = []
    module = mmengine.fileio.file_client
    wrapped = module.print_log.__wrapped__
    monkeypatch.setattr(module, 'print_log', lambda msg, logger, level: lines.append((msg, level)))
    compat.quiet_own_warnings()
    module.print_log('"FileClient" will be deprecated in future.', level=logging.WARNING)
    module.print_log('Another warning', level=logging.WARNING)
    assert lines == [
        ('"FileClient" will be deprecated in future.', logging.DEBUG),
        ('Another warning', logging.WARNING),
    ]
    assert not hasattr(wrapped, 'levels'), 'importing the package twice must not wrap it twice'


# ---------------------------------------------------------------- lists of images


@pytest.fixture
def data_set(tmp_path):
    """Maker of a dataset from the text of its list."""
    from mmseg.datasets import BaseSegDataset

    def make(text):
        (tmp_path / 'a.txt').write_text(text)
        prefix = dict(img_path='images', seg_map_path='masks')
        return BaseSegDataset(ann_file='a.txt', data_root=str(tmp_path), data_prefix=prefix)

    return make


def test_blank_lines_of_a_list_are_skipped(data_set, tmp_path):
    found = data_set('\na\n  \n.b\n\n')
    assert [found.get_data_info(i)['img_path'] for i in range(len(found))] == [
        f'{tmp_path}/images/a.jpg',
        f'{tmp_path}/images/.b.jpg',
    ]


@pytest.mark.parametrize(
    'name', ['\ufeffa', 'a\tb', 'a\0b', 'x' * 300], ids=['BOM', 'two columns', 'null', 'long']
)
def test_a_line_that_is_no_name_is_named(data_set, tmp_path, name):
    with pytest.raises(ValueError) as error:
        data_set(f'{name}\nb\n')
    message = str(error.value)
    assert message.startswith(f'{tmp_path}/a.txt holds ')
    assert ascii(name)[1:-1][:40] in ascii(message).replace('\\\\', '\\')
    assert len(message) < 400 and '\0' not in message


def test_a_list_that_is_no_text_is_named(data_set, tmp_path, monkeypatch):
    write = type(tmp_path).write_text
    monkeypatch.setattr(type(tmp_path), 'write_text', lambda p, text: write(p, text, 'utf-16'))
    with pytest.raises(ValueError, match=f'{tmp_path}/a.txt is no list of images in UTF-8: '):
        data_set('a\n')


def test_a_folder_in_a_list_is_no_blank_line(data_set):
    assert len(data_set('a\nsub/\n\n')) == 2


@pytest.mark.parametrize('text', ['', '\n \n'])
def test_an_empty_split_is_named(data_set, tmp_path, text):
    with pytest.raises(ValueError, match=rf'^The split {tmp_path}/a\.txt is empty\.$'):
        data_set(text)


def test_an_empty_folder_is_named(tmp_path):
    from mmseg.datasets import BaseSegDataset

    (tmp_path / 'images').mkdir()
    with pytest.raises(ValueError, match=rf'^The split {tmp_path}/images is empty\.$'):
        BaseSegDataset(data_root=str(tmp_path), data_prefix=dict(img_path='images'))


# ---------------------------------------------------------------- import


def test_importing_twice_changes_nothing():
    from mmseg.datasets import BaseSegDataset

    print_log = mmengine.fileio.file_client.print_log
    loaders = BaseSegDataset.load_data_list, BaseSegDataset._serialize_data
    schemes = list(CheckpointLoader._schemes)
    for name in ('mmseg_deeplabv3x', 'mmseg_deeplabv3x.compat'):
        importlib.import_module(name)
    compat.provide_missing_ops()
    compat.allow_mmengine_checkpoints()
    compat.explain_missing_weights()
    compat.skip_blank_lines()
    compat.name_empty_splits()
    compat.quiet_own_warnings()
    assert mmengine.fileio.file_client.print_log is print_log
    assert (BaseSegDataset.load_data_list, BaseSegDataset._serialize_data) == loaders
    assert list(CheckpointLoader._schemes) == schemes


def test_a_fresh_process_imports_it_after_mmseg_and_without_pkg_resources():
    """mmseg's tools import mmseg.registry first; setuptools 81 has no pkg_resources."""
    script = """
import sys
sys.modules['pkg_resources'] = None
sys.modules['timm'] = None  # mmseg imports it where it is there, and it torchvision
from mmengine.runner import Runner
from mmseg.registry import MODELS, PARAM_SCHEDULERS
import mmseg_deeplabv3x
for registry, name in ((MODELS, 'DeepLabV3'), (MODELS, 'EncoderDecoder'),
                       (PARAM_SCHEDULERS, 'DeepLabPolyLR')):
    assert registry.get(name), name
heavy = {'torchvision', 'pandas', 'sklearn', 'tensorboard', 'pycocotools'} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, '-c', script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout == '', 'importing says nothing'
