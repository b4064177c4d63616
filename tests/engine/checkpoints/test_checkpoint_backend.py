import errno
import io
import os
from collections import namedtuple

import pytest
import torch
from mmengine.fileio import get_file_backend

import mmseg_deeplabv3x.engine  # noqa: F401  (registers the backend)


def saved(value):
    file = io.BytesIO()
    torch.save(dict(value=torch.full((1000,), float(value))), file)
    return file.getvalue()


@pytest.fixture
def put():
    return get_file_backend(backend_args=dict(backend='checkpoint')).put


def assert_only(path, value):
    assert list(path.parent.iterdir()) == [path]
    assert torch.load(path)['value'].unique().item() == value


def test_a_checkpoint_is_written_and_replaced(put, tmp_path):
    path = tmp_path / 'new' / 'a.pth'
    for value in (1, 2):
        put(saved(value), str(path))
        assert_only(path, value)


def fail(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')


def damage(descriptor):
    os.pwrite(descriptor, b'damage', 2000)


def cut(descriptor):
    os.ftruncate(descriptor, 2000)


@pytest.mark.parametrize(
    'fault, message', [(fail, 'No space left'), (damage, 'damaged'), (cut, 'damaged')]
)
def test_a_fault_while_writing_leaves_the_old_file_and_nothing_else(
    put, tmp_path, monkeypatch, fault, message
):
    path = tmp_path / 'a.pth'
    put(saved(1), path)
    monkeypatch.setattr(os, 'fsync', fault)
    with pytest.raises(OSError, match=message):
        put(saved(2), path)
    assert_only(path, 1)


def test_nothing_is_written_where_there_is_no_room(put, tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    put(saved(1), path)
    free = namedtuple('Usage', 'free')(2**10)
    monkeypatch.setattr('shutil.disk_usage', lambda _: free)
    monkeypatch.setattr(os, 'fsync', lambda _: pytest.fail('written'))
    with pytest.raises(OSError, match=r'it takes 0.\d MiB and 0.0 MiB are free.*a.pth'):
        put(saved(2), path)
    assert_only(path, 1)
