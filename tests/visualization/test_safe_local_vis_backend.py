from __future__ import annotations

import json
import logging
import resource

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmseg.registry import VISBACKENDS
from PIL import Image

import mmseg_deeplabv3x.visualization  # noqa: F401  (registers the backend)


@pytest.fixture
def backend(tmp_path):
    return VISBACKENDS.build(dict(type='SafeLocalVisBackend', save_dir=str(tmp_path)))


def steps(folder):
    return [json.loads(line)['step'] for line in (folder / 'scalars.json').read_text().splitlines()]


@pytest.mark.parametrize('room', [0, 10], ids=['no room', 'room for half a line'])
def test_lines_without_room_are_left_out_and_the_others_whole(backend, limit_files, tmp_path, room):
    backend.add_scalars(dict(loss=1.0), step=1)
    limit_files((tmp_path / 'scalars.json').stat().st_size + room)
    for step in (2, 3):
        backend.add_scalars(dict(loss=1.0), step=step)
    limit_files(resource.RLIM_INFINITY)
    backend.add_scalar('loss', 1.0, step=4)
    assert steps(tmp_path) == [1, 4]


@pytest.mark.parametrize('name', ['a', 'sub/a', 'caf\udce9'])  # the last one is no UTF-8
def test_a_picture_goes_where_its_name_says(backend, tmp_path, name):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    backend.add_image(name, image, step=2)
    with Image.open(tmp_path / f'vis_image/{name}_2.png') as picture:
        assert (np.asarray(picture) == image).all()


def test_one_warning_says_so(backend, limit_files, tmp_path):
    said = []  # no file has room for it
    handler = logging.Handler(logging.INFO)
    handler.emit = said.append
    MMLogger.get_instance('full disk').addHandler(handler)
    limit_files(0)
    for step in (1, 2):
        backend.add_scalars(dict(loss=1.0), step=step)
    limit_files(resource.RLIM_INFINITY)
    (record,) = said
    text = record.getMessage()
    assert record.levelno == logging.WARNING
    assert 'File too large' in text and str(tmp_path / 'scalars.json') in text
