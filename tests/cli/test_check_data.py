from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from mmseg_deeplabv3x.cli.check_data import main


@pytest.fixture
def config(data):
    path = data.root / 'config.py'
    data.config().dump(path)
    return str(path)


def test_exit_status_tells(data, config, capsys):
    assert main([config]) == 0
    assert 'No problems.' in capsys.readouterr().out
    data.mask(3).unlink()
    assert main([config]) == 1
    assert 'masks/3.png does not exist.' in capsys.readouterr().out


def test_progress_is_shown(config, capsys):
    main([config])
    assert '11 of 11' in capsys.readouterr().out


def test_reports_are_written_aside_and_renamed(data, config):
    out = data.root / 'out'
    out.mkdir()
    (out / 'report.json').write_text('old')
    assert main([config, '--json', f'{out}/report.json', '--html', f'{out}/report.html']) == 0
    assert sorted(path.name for path in out.iterdir()) == ['report.html', 'report.json']
    assert json.loads((out / 'report.json').read_text())['ok']
    assert (out / 'report.html').read_text().startswith('<!DOCTYPE html>')


def test_settings_can_be_overridden(config, capsys):
    option = 'train_dataloader.dataset.ann_file=nowhere.txt'
    assert main([config, '--cfg-options', option]) == 1
    assert 'nowhere.txt' in capsys.readouterr().out


def test_a_misspelt_setting_is_refused(config):
    with pytest.raises(SystemExit, match="'train_dataloader' is probably meant"):
        main([config, '--cfg-options', 'train_datloader.dataset.ann_file=val.txt'])


def test_a_config_without_data_is_refused(tmp_path):
    (tmp_path / 'empty.py').write_text('')
    with pytest.raises(SystemExit, match='has no data to check: none of train_dataloader'):
        main([str(tmp_path / 'empty.py')])


def test_no_config(capsys):
    with pytest.raises(SystemExit):
        main(['nowhere.py'])
    assert "there is no config file 'nowhere.py'" in capsys.readouterr().err


def test_the_tool_passes_the_status_on(data, config, monkeypatch):
    tool = Path(__file__).parents[2] / 'tools/check_data.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), config])
    data.mask(3).unlink()
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(tool), run_name='__main__')
    assert status.value.code == 1
