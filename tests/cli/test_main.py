from __future__ import annotations

import sys
from importlib import import_module

import pytest

from mmseg_deeplabv3x.cli import main as cli_main


def call(monkeypatch, *argv):
    monkeypatch.setattr(sys, 'argv', ['deeplabv3x', *argv])
    cli_main.main()


@pytest.mark.parametrize('argv', [(), ('--help',)])
def test_help_lists_every_command(monkeypatch, capsys, argv):
    call(monkeypatch, *argv)
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert listed == list(cli_main.COMMANDS)


@pytest.mark.parametrize('command', cli_main.COMMANDS)
def test_every_command_has_its_own_help(monkeypatch, capsys, command):
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, command, '--help')
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f'usage: deeplabv3x {command}')
    assert text.partition('\nexamples:\n')[2].count(f'  deeplabv3x {command} ') >= 2


WRONG = {  # and what is said of it
    'train': ('nowhere.py', "no config file 'nowhere.py'"),
    'test': ('deeplabv3x_r101_os8_voc nowhere.pth', "no checkpoint file 'nowhere.pth'"),
    'infer': ('deeplabv3x_r101_os8_voc nowhere.pth x -o out', "no checkpoint file 'nowhere.pth'"),
    'export': ('- nowhere.pth --to onnx -o x.onnx', "no checkpoint file 'nowhere.pth'"),
    'report': ('nowhere', 'nowhere is no work dir of a training'),
    'config': ('nowhere -o x.py', "no config file 'nowhere'"),
    'new-config': ('--images nowhere --masks nothing -o x.py', 'nowhere'),
    'show': ('deeplabv3x_r18_os16_shapes --size 0 5', "at least 1, but got '0'"),
    'show-data': ('deeplabv3x_r101_os8_voc', 'Failed to load `ann_file`'),
    'fit': ('deeplabv3x_r101_os8_voc --memory 11', "11GiB or 800MiB, but got '11'"),
    'check-data': ('nowhere', "no config file 'nowhere'"),
    'prepare-data': ('voc --from nowhere', 'nowhere: there is no such folder or archive'),
    'make-shapes': ('--size 1 1', 'size'),
    'convert-weights': ('nowhere.pth', 'no file of weights nowhere.pth'),
    'pack-voc': ('nowhere nothing', 'nothing does not exist'),
}


@pytest.mark.parametrize('command', cli_main.COMMANDS)
def test_a_wrong_input_is_told_without_a_traceback(monkeypatch, capsys, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    argv, sentence = WRONG[command]
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, command, *argv.split())
    assert stop.value.code not in (None, 0)
    assert sentence in capsys.readouterr().err + str(stop.value.code)
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


@pytest.mark.parametrize('command, missing', [('show', 'model'), ('fit', 'model')])
def test_a_config_without_a_part_that_is_needed(monkeypatch, tmp_path, command, missing):
    path = tmp_path / 'empty.py'
    path.write_text('')
    with pytest.raises(SystemExit, match=f"there is no '{missing}'"):
        call(monkeypatch, command, str(path))


def test_every_thin_tool_is_a_command(request):
    tools = request.config.rootpath / 'tools'
    thin = {path.stem for path in tools.glob('*.py') if 'mmseg_deeplabv3x.cli.' in path.read_text()}
    modules = {place.split(':')[0].removesuffix('.py') for place, _ in cli_main.COMMANDS.values()}
    assert thin - {'benchmark', 'demo'} <= modules


def test_an_unknown_command_is_one_sentence(monkeypatch):
    with pytest.raises(SystemExit, match="no command 'trian'; there are train, test"):
        call(monkeypatch, 'trian')


def test_a_commands_status_is_the_programs(monkeypatch):
    module = import_module('mmseg_deeplabv3x.cli.infer')
    monkeypatch.setattr(module, 'infer', lambda: 3)
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, 'infer')
    assert stop.value.code == 3
