from __future__ import annotations

import pytest
from mmengine.config import Config

from mmseg_deeplabv3x.cli.config import main

NAME = 'deeplabv3x_r101_os8_voc'


def test_the_file_is_the_whole_config(request, tmp_path):
    path = tmp_path / 'my.py'
    main([NAME, '-o', str(path)])
    assert '_base_' not in path.read_text()
    ours = Config.fromfile(request.config.rootpath / 'configs' / f'{NAME}.py')
    assert Config.fromfile(path).to_dict() == ours.to_dict()


def test_no_file_is_overwritten(tmp_path, capsys):
    path = tmp_path / 'my.py'
    path.write_text('mine')
    with pytest.raises(SystemExit):
        main([NAME, '-o', str(path)])
    assert 'is there already, and is not overwritten' in capsys.readouterr().err
    assert path.read_text() == 'mine'


def test_the_file_is_python(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([NAME, '-o', str(tmp_path / 'my.yml')])
    assert '-o takes a .py file' in capsys.readouterr().err
