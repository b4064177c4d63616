from __future__ import annotations

import pytest

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.arguments import as_typed


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small.py'
    path.touch()
    return str(path)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    path.touch()
    return str(path)


def test_flags_are_those_of_mmsegs_tools(config, checkpoint):
    shared = ['--work-dir', 'w', '--cfg-options', 'a.b=1', '--launcher', 'none', '--local_rank=1']
    args = cli_train.train_parser().parse_args(
        [config, '--resume', '--amp', *shared, '--seed', '3']
    )
    assert (args.config, args.resume, args.amp, args.seed) == (config, True, True, 3)
    assert args.cfg_options == {'a.b': 1}
    args = cli_test.test_parser().parse_args(
        [config, checkpoint, '--out', 'o', '--show-dir', 's', '--wait-time', '1', '--tta', *shared]
    )
    assert (args.checkpoint, args.out, args.show_dir, args.tta) == (checkpoint, 'o', 's', True)
    assert cli_test.test_parser().parse_args([config, checkpoint, '--show']).show


@pytest.mark.parametrize('parser', [cli_train.train_parser, cli_test.test_parser])
def test_no_such_config_is_one_sentence(parser, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(
            ['configs/nope.py', 'weights.pth'][: 1 + (parser is cli_test.test_parser)]
        )
    assert "there is no config file 'configs/nope.py'; ours are in" in capsys.readouterr().err


def test_no_such_checkpoint_is_one_sentence(config, capsys):
    with pytest.raises(SystemExit):
        cli_test.test_parser().parse_args([config, 'nope.pth'])
    assert "there is no checkpoint file 'nope.pth'" in capsys.readouterr().err
    url = 'https://example.org/weights.pth'
    assert cli_test.test_parser().parse_args([config, url]).checkpoint == url


@pytest.mark.parametrize('seed', ['-1', '1.5', '4294967296', 'x'])
def test_a_seed_that_no_generator_takes_is_one_sentence(config, seed, capsys):
    with pytest.raises(SystemExit):
        cli_train.train_parser().parse_args([config, f'--seed={seed}'])
    assert f'from 0 to 4294967295, but got {seed!r}' in capsys.readouterr().err
    assert cli_train.train_parser().parse_args([config, '--seed', '4294967295']).seed == 2**32 - 1


@pytest.mark.parametrize('option', ['key', 'key=[1,2', 'key=(1,(2)'])
def test_a_setting_that_is_none_is_one_sentence(config, option, capsys):
    with pytest.raises(SystemExit):
        cli_train.train_parser().parse_args([config, '--cfg-options', option])
    assert f'expected KEY=VALUE with paired brackets, but got {option!r}' in capsys.readouterr().err


def test_show_and_show_dir_exclude_each_other(config, checkpoint, capsys):
    with pytest.raises(SystemExit):
        cli_test.test_parser().parse_args([config, checkpoint, '--show', '--show-dir', 'pictures'])
    assert 'not allowed with argument --show' in capsys.readouterr().err


@pytest.mark.parametrize(
    'flag, value, message',
    [
        *(('--scales', bad, 'a scale is a number above 0') for bad in ('0', '-1', 'inf', 'big')),
        *(('--output-stride', bad, 'must be a power of two of at least 8') for bad in ('12', 'x')),
    ],
)
def test_bad_views_are_one_sentence(config, checkpoint, flag, value, message, capsys):
    with pytest.raises(SystemExit):
        cli_test.test_parser().parse_args([config, checkpoint, flag, value])
    error = capsys.readouterr().err.splitlines()[-1]
    assert f'argument {flag}' in error and message in error and value in error


def test_a_checkpoint_in_the_place_of_the_config(config, checkpoint, capsys):
    with pytest.raises(SystemExit):
        cli_test.test_parser().parse_args([checkpoint, config])
    assert 'a config is a .py' in capsys.readouterr().err


@pytest.mark.parametrize(
    'text, typed',
    [
        ('look by tools/check_data.py.', 'look by deeplabv3x check-data.'),
        ('`python tools/make_shapes.py --seed 1`', '`deeplabv3x make-shapes --seed 1`'),
        ('python tools/chaos.py', 'python tools/chaos.py'),  # needs a checkout
        ('/data/tools/train.py is empty', '/data/tools/train.py is empty'),
        ('my-tools/train.py, ../tools/test.py', 'my-tools/train.py, ../tools/test.py'),
    ],
)
def test_tools_are_named_as_the_user_types_them(text, typed):
    assert as_typed('tools/train.py', text) == text
    assert as_typed('deeplabv3x train', text) == typed
