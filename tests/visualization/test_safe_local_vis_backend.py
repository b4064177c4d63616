"""A full disk, as far as a process can make one: its files cannot grow."""

from __future__ import annotations

import json
import resource

import pytest
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISBACKENDS

import mmseg_deeplabv3x.engine  # noqa: F401  (registers the backend)


@pytest.fixture
def limit_files():
    """``limit_files(n)``: no file of this process can grow beyond n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def backend(tmp_path):
    return VISBACKENDS.build(dict(type='SafeLocalVisBackend', save_dir=str(tmp_path)))


def steps(folder):
    return [json.loads(line)['step'] for line in (folder / 'scalars.json').read_text().splitlines()]


def test_a_full_disk_ends_upstreams_backend(limit_files, tmp_path):
    backend = LocalVisBackend(str(tmp_path))
    limit_files(0)
    with pytest.raises(OSError, match='File too large'):
        backend.add_scalars(dict(loss=1.0))


@pytest.mark.parametrize('room', [0, 10], ids=['no room', 'room for half a line'])
def test_lines_without_room_are_left_out_and_the_others_whole(backend, limit_files, tmp_path, room):
    backend.add_scalars(dict(loss=1.0), step=1)
    limit_files((tmp_path / 'scalars.json').stat().st_size + room)
    for step in (2, 3):
        backend.add_scalars(dict(loss=1.0), step=step)
    limit_files(resource.RLIM_INFINITY)
    backend.add_scalar('loss', 1.0, step=4)
    assert steps(tmp_path) == [1, 4]


def test_one_warning_says_so(backend, limit_files, tmp_path, monkeypatch):
    said = []
    module = 'mmseg_deeplabv3x.visualization.safe_local_vis_backend'
    monkeypatch.setattr(f'{module}.print_log', lambda text, *_, **__: said.append(text))
    limit_files(0)
    for step in (1, 2):
        backend.add_scalars(dict(loss=1.0), step=step)
    (text,) = said
    assert 'File too large' in text and str(tmp_path / 'scalars.json') in text
