"""Every script of tools/ tells how it is called, and starts nothing when it is asked for that."""

import runpy
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
SCRIPTS = {
    'async_train.sh': ['a.py'],
    'dist_train.sh': ['a.py'],
    'dist_test.sh': ['a.py', 'w.pth'],
    'slurm_train.sh': ['gpu', 'job'],
    'slurm_test.sh': ['gpu', 'job', 'a.py'],
    'srun.sh': ['gpu', 'job'],
    'torchrun.sh': ['2'],
    'replica.sh': ['folder', 'another'],
}


FOR_DEVELOPERS = {'chaos.py', 'demo.py', 'gpu.py'}


@pytest.fixture
def nothing_starts(tmp_path):
    """An environment in which every program that a script could start fails loudly."""
    for name in ('python', 'srun', 'torchrun', 'scontrol', 'mkdir'):
        (tmp_path / name).write_text('#!/bin/sh\necho "STARTED $0 $*"\nexit 1\n')
        (tmp_path / name).chmod(0o755)
    return dict(PATH=f'{tmp_path}:/usr/bin:/bin')


def test_every_script_is_here():
    assert {path.name for path in TOOLS.glob('*.sh')} == {*SCRIPTS, 'usage.sh'}


@pytest.mark.parametrize('flag', ['-h', '--help'])
@pytest.mark.parametrize('script', SCRIPTS)
def test_help(run_tool, nothing_starts, script, flag):
    first, _, *text = run_tool(script, flag, **nothing_starts).splitlines()
    assert first.startswith(f'usage: {script} ')
    assert text and not any('STARTED' in line or line.startswith('#') for line in text)


@pytest.mark.parametrize('script', SCRIPTS)
def test_wrong_arguments(run_tool, nothing_starts, script):
    for arguments in (SCRIPTS[script], ['--no-such-option', *'abcd']):
        output = run_tool(script, *arguments, status=2, **nothing_starts)
        assert output.startswith(f'usage: {script} ')


@pytest.mark.parametrize(
    'script, arguments, said',
    [
        ('replica.sh', ['work'], 'TABLES: table9 is none of cascade50'),
        ('torchrun.sh', ['two', 'train.py'], "GPUS must be a number of processes, but got 'two'"),
        (
            'torchrun.sh',
            ['2', 'trian.py'],
            "SCRIPT must be train.py or test.py, but got 'trian.py'",
        ),
        ('srun.sh', ['gpu', 'job', 'trian.py'], 'SCRIPT must be train.py or test.py, but got'),
    ],
)
def test_a_wrong_word_starts_nothing(run_tool, nothing_starts, script, arguments, said):
    output = run_tool(script, *arguments, status=2, TABLES='cascade50 table9', **nothing_starts)
    assert output.startswith(said) and len(output.splitlines()) == 1


@pytest.mark.parametrize('script', sorted(path.name for path in TOOLS.glob('*.py')))
def test_help_of_the_commands(script, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', [script, '--help'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / script), run_name='__main__')  # in here: importing takes long
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith('usage: ')
    if script not in FOR_DEVELOPERS:
        assert text.partition('\nexamples:\n')[2].count(f'  {script} ') >= 2
