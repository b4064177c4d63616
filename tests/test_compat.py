from __future__ import annotations

import copy
import importlib
import importlib.util
import pickle
import subprocess
import sys
import textwrap

import mmcv
import numpy as np
import pytest
import torch
from mmcv.utils import ext_loader
from mmengine.logging import MessageHub
from mmengine.runner import checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_deeplabv3x import compat

# ---------------------------------------------------------------- which mmcv


def without(name):
    """A ``find_spec`` that does not find ``name``."""
    find_spec = importlib.util.find_spec
    return lambda wanted, *args: None if wanted == name else find_spec(wanted, *args)


def test_no_mmcv_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', without('mmcv'))
    with pytest.raises(ImportError, match='pip install .mmcv-lite>=2.1,<2.2'):
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


@pytest.mark.skipif(
    importlib.util.find_spec('mmcv._ext') is not None, reason='a full mmcv has the compiled ops'
)
def test_mmcv_says_of_its_ops_what_it_says_without_us():
    env = mmcv.utils.collect_env()
    assert env['MMCV Compiler'] == env['MMCV CUDA Compiler'] == 'n/a'


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
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_1.pth'))['message_hub']
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
    array, scalar = CheckpointLoader.load_checkpoint(str(path))
    assert array.tolist() == [0, 1, 2]
    assert scalar == 7


class Unwanted:
    """Of a kind that no checkpoint needs."""


@pytest.mark.parametrize('asks_for', [None, False], ids=['default', 'weights_only=False'])
@pytest.mark.parametrize('load', ['load_from_local', 'load_from_ceph'])
def test_what_mmengine_asks_of_torch_load_does_not_matter(tmp_path, monkeypatch, asks_for, load):
    """Its next release reads local files with ``weights_only=False``."""
    torch_load, path = torch.load, str(tmp_path / 'weights.pth')
    torch.save(dict(meta=Unwanted()), path)

    def load_as_some_release(filename, map_location=None):
        return torch_load(filename, map_location=map_location, weights_only=asks_for)

    load_as_some_release.__name__ = load
    monkeypatch.setattr(checkpoint, load, load_as_some_release)
    prefix = {'load_from_local': '', 'load_from_ceph': r'(\S+\:)?s3://'}[load]
    monkeypatch.setattr(CheckpointLoader, '_schemes', {prefix: load_as_some_release})
    compat.load_checkpoints_safely()
    with pytest.raises(pickle.UnpicklingError, match='Unwanted'):
        CheckpointLoader._schemes[prefix](path)


def test_pytorchs_own_switch_for_trusted_files_is_obeyed(tmp_path, monkeypatch):
    torch.save(Unwanted(), tmp_path / 'weights.pth')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.warns(UserWarning, match='TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'weights.pth'))
    assert type(loaded) is Unwanted


def test_a_loader_that_somebody_registered_stays():
    run_fresh("""
        from mmengine.runner import CheckpointLoader

        def load_from_store(filename, map_location=None):
            return 'theirs'

        for prefix in ('', 'http://', 'store://'):
            CheckpointLoader.register_scheme(prefix, load_from_store, force=True)
        import mmseg_deeplabv3x
        from mmseg_deeplabv3x.cli.messages import install_messages
        install_messages()
        for name in ('a.pth', 'http://a.pth', 'store://a.pth'):
            assert CheckpointLoader.load_checkpoint(name) == 'theirs', name
            assert CheckpointLoader._get_checkpoint_loader(name) is load_from_store, name
    """)


def test_a_stock_run_resumes_in_a_process_that_imports_us(tmp_path):
    run_fresh(f"""
        import torch
        from mmengine.logging import HistoryBuffer
        from mmengine.runner import CheckpointLoader
        import mmseg_deeplabv3x

        torch.save([HistoryBuffer([1.0], [1])], {str(tmp_path / 'iter_1.pth')!r})
        loaded, = CheckpointLoader.load_checkpoint({str(tmp_path / 'iter_1.pth')!r})
        assert type(loaded) is HistoryBuffer and loaded.mean() == 1
    """)


# ---------------------------------------------------------------- import


def test_importing_twice_changes_nothing():
    schemes = dict(CheckpointLoader._schemes)
    for name in ('mmseg_deeplabv3x', 'mmseg_deeplabv3x.compat'):
        importlib.import_module(name)
    compat.provide_missing_ops()
    compat.load_checkpoints_safely()
    assert CheckpointLoader._schemes == schemes


def test_the_import_changes_nothing_that_others_use():
    run_fresh("""
        import logging, os, warnings
        import mmengine.evaluator.metric, mmengine.fileio.file_client, mmengine.runner.loops
        from mmengine.dataset import BaseDataset
        from mmengine.runner import checkpoint
        import importlib.util, torch
        if importlib.util.find_spec('timm'):
            import timm  # mmseg does, and timm lets torch allow a class of its own

        def shared():
            modules = (checkpoint, mmengine.evaluator.metric, mmengine.fileio.file_client,
                       mmengine.runner.loops, torch, torch.serialization, torch.hub, BaseDataset)
            found = {(str(m), k): v for m in modules for k, v in vars(m).items()
                     if callable(v) or isinstance(v, dict) and k == '_schemes'}
            return found, set(torch.serialization.get_safe_globals()), dict(os.environ)

        before, filters = shared(), set(warnings.filters)
        import mmseg.registry
        import mmseg_deeplabv3x
        after = shared()
        assert after[1:] == before[1:]
        for key, value in before[0].items():
            assert after[0][key] is value, key
        from mmseg.datasets import BaseSegDataset
        for function in (BaseSegDataset.load_data_list, BaseDataset._serialize_data):
            assert not hasattr(function, '__wrapped__'), function
        ours = [f for f in set(warnings.filters) - filters if f[3] and f[0] == 'ignore'
                and f[3].pattern.startswith(('mmseg', 'mmengine'))]
        assert not ours, ours
    """)


def run_fresh(script):
    """Run a script in a process of its own."""
    script = textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, '-c', script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


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
    assert run_fresh(script) == '', 'importing says nothing'
