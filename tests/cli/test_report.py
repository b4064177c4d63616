import importlib.util
import json
import os

import pytest

from mmseg_deeplabv3x.cli.report import main
from mmseg_deeplabv3x.cli.train import train


@pytest.fixture
def work_dir(tmp_path, trained):
    log = tmp_path / 'my/20261127_110000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(dict(mIoU=12.5, step=4)) + '\n')
    os.link(trained[1], tmp_path / 'my/iter_4.pth')
    return tmp_path / 'my'


def test_the_page_lies_in_the_work_dir(work_dir, capsys):
    main([str(work_dir), '--device', 'cpu'])
    assert f'Report: {work_dir}/report.html' in capsys.readouterr().out
    text = (work_dir / 'report.html').read_text()
    assert '12.50' in text and 'data:image/jpeg' in text


def test_without_the_data_there_are_no_pictures_and_it_says_so(work_dir, monkeypatch):
    def gone(*_):
        raise FileNotFoundError('ShapesDataset finds no data: `python tools/make_shapes.py`')

    monkeypatch.setattr('mmseg_deeplabv3x.cli.report.evaluate', gone)
    monkeypatch.setattr('sys.argv', ['deeplabv3x report'])
    main([str(work_dir)])
    text = (work_dir / 'report.html').read_text()
    assert 'my is shown without pictures: ShapesDataset finds no' in text
    assert '`deeplabv3x make-shapes`' in text
    assert 'data:image/jpeg' not in text


def test_a_checkpoint_that_is_refused_spoils_no_report(work_dir, capsys):
    (work_dir / 'iter_4.pth').unlink()
    (work_dir / 'iter_4.pth').write_bytes(b'no checkpoint')
    main([str(work_dir), '--device', 'cpu'])
    assert f'{work_dir}/iter_4.pth is not loaded' in capsys.readouterr().out
    assert 'is not loaded' in (work_dir / 'report.html').read_text()


def test_another_folder_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match='is no work dir of a training'):
        main([str(tmp_path)])


def test_train_writes_it_at_the_end(tiny_config, tmp_path, capsys):
    config = tiny_config('with_report', {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2})
    work_dir = tmp_path / 'run'
    train([config, '--work-dir', str(work_dir), '--report'])
    assert f'Report: {work_dir}/report.html' in capsys.readouterr().out
    assert 'data:image/jpeg' in (work_dir / 'report.html').read_text()


def test_without_plotly_no_training_begins(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit, match='drawn by plotly, which is missing: `pip install plotly`'):
        train([tiny_config('no_plotly'), '--work-dir', str(tmp_path / 'run'), '--report'])
    assert not (tmp_path / 'run').exists()
