import json
import subprocess
import sys

import pytest
from PIL import Image

from mmseg_deeplabv3x.cli.prepare_data import COMMANDS, prepare_data, prepare_parser
from mmseg_deeplabv3x.prepare import annotations, camvid, voc


@pytest.mark.parametrize('name', COMMANDS)
def test_every_option_is_an_argument_of_its_function(name, capsys):
    options = vars(prepare_parser().parse_args([name, '--from', 'a.zip', 'b']))
    assert options.pop('dataset') == name and options['sources'] == ['a.zip', 'b']
    function = COMMANDS[name][0]
    taken = function.__code__.co_varnames[: function.__code__.co_argcount]
    assert set(options) <= set(taken)
    defaults = dict(zip(taken[-len(function.__defaults__) :], function.__defaults__))
    for key in set(options) - {'sources'}:
        assert options[key] == defaults[key], key
    with pytest.raises(SystemExit):
        prepare_parser().parse_args([name, '--help'])
    assert '--from' in capsys.readouterr().out


def test_it_says_what_is_ready(small, tmp_path, capsys, monkeypatch):
    source = small.make_camvid(tmp_path / 'source')
    monkeypatch.setattr(camvid.prepare_camvid, '__defaults__', ('', (), '', dict(train=2, val=2)))
    root = tmp_path / 'out'
    prepare_data(['camvid', '--from', str(source), '--root', str(root)])
    shown = capsys.readouterr().out
    assert '12 of 12' in shown and shown.endswith(f'Ready: {root}: train 2, val 2\n')


def test_a_problem_ends_with_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['tools/prepare_data.py'])
    with pytest.raises(SystemExit) as error:
        prepare_data(['voc', '--from', str(tmp_path / 'absent.tar'), '--root', str(tmp_path / 'o')])
    assert str(error.value) == (
        f'prepare_data.py: --from {tmp_path}/absent.tar: there is no such folder or archive.'
    )


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(voc, 'download', interrupted)
    with pytest.raises(SystemExit, match='interrupted; the same command goes on'):
        prepare_data(['voc', '--root', str(tmp_path / 'out')])
    assert not any(tmp_path.iterdir())


def test_what_starts_anew_does_not_say_that_it_goes_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(annotations, 'map_files', interrupted)
    Image.new('RGB', (20, 10)).save(tmp_path / 'a.png')
    page = dict(imagePath='a.png', shapes=[])
    (tmp_path / 'a.json').write_text(json.dumps(page))
    with pytest.raises(SystemExit, match='interrupted; the same command starts anew, nothing is'):
        prepare_data(['labelme', '--from', str(tmp_path), '--root', str(tmp_path / 'out')])
    assert 'kept' not in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'a.png']
    assert 'labelme, coco-json, cvat) becomes a new folder' in prepare_parser().description


def test_importing_the_package_does_not_import_this():
    code = 'import sys, mmseg_deeplabv3x; print([m for m in sys.modules if "x.prepare" in m])'
    command = [sys.executable, '-W', 'ignore', '-c', code]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == '[]', run.stderr


@pytest.mark.parametrize(
    'prog, makes',
    [
        ('tools/prepare_data.py', 'python tools/new_config.py'),
        ('deeplabv3x prepare-data', 'deeplabv3x new-config'),
    ],
)
def test_an_annotation_tools_files_end_with_the_next_command(
    prog, makes, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', [prog])
    Image.new('RGB', (20, 10)).save('a.png')
    corner = dict(label='car', points=[[1, 1], [9, 1], [9, 9]], shape_type='polygon')
    page = dict(imagePath='a.png', imageData=None, imageWidth=20, imageHeight=10, shapes=[corner])
    (tmp_path / 'a.json').write_text(json.dumps(page))
    prepare_data(['labelme', '--from', '.', '--root', 'my data'])
    said = "--images 'my data'/images --masks 'my data'/masks -o my.py"
    assert capsys.readouterr().out.endswith(f'Next:\n  {makes} {said}\n')
