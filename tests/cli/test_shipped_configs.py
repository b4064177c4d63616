from __future__ import annotations

import argparse

import pytest

from mmseg_deeplabv3x.cli import shipped_configs
from mmseg_deeplabv3x.cli.arguments import config_file


@pytest.mark.parametrize('name', ['deeplabv3x_r101_os8_voc', 'deeplabv3x_r101_os8_voc.py'])
def test_a_bare_name_is_one_of_ours(request, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    ours = request.config.rootpath / 'configs/deeplabv3x_r101_os8_voc.py'
    assert config_file(name) == str(ours)


def test_a_file_of_the_current_folder_comes_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'deeplabv3x_r101_os8_voc.py').touch()
    assert config_file('deeplabv3x_r101_os8_voc.py') == 'deeplabv3x_r101_os8_voc.py'


@pytest.mark.parametrize('name', ['deeplabv3x_r9', 'elsewhere/deeplabv3x_r101_os8_voc.py'])
def test_no_other_path_is_guessed(request, name):
    message = f'there is no config file .*; ours are in {request.config.rootpath}/configs$'
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        config_file(name)


def test_a_wheels_configs_lie_inside_the_package(monkeypatch, tmp_path):
    package = tmp_path / 'mmseg_deeplabv3x'
    (package / 'cli').mkdir(parents=True)
    monkeypatch.setattr(shipped_configs, '__file__', str(package / 'cli/shipped_configs.py'))
    assert shipped_configs.shipped_config('x') == tmp_path / 'configs/x.py'
    (package / '.mim').mkdir()
    assert shipped_configs.shipped_config('x') == package / '.mim/configs/x.py'
