"""A training and an evaluation in this process: what the console shows, what the log file has."""

import itertools
import logging
import re
import shlex
import sys

import pytest

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.start_screen import StartScreen

numbers = itertools.count()


@pytest.fixture
def started(tiny_config, tmp_path, capsys):
    """``started(tool, ...)``: config, console up to the first result, log file."""

    def run(tool, *arguments, **changes):
        name = f'screen_{next(numbers)}'  # mmengine keeps visualizers and loggers by name
        config = tiny_config(name, {'train_cfg.max_iters': 1, **changes})
        capsys.readouterr()
        tool([config, *arguments, '--work-dir', str(tmp_path / name)])
        (log,) = (tmp_path / name).glob('*/*.log')
        return config, re.split(r'Iter\(|per class', capsys.readouterr().out)[0], log

    return run


def test_a_training_starts_with_a_screen(started):
    config, console, log = started(cli_train.train)
    for said in (
        f'  Config    {config}\n  Command   {sys.argv[0]} {shlex.join(sys.argv[1:])}',
        'train 6 images, 2 a batch; val 3 images, 1 a batch',
        'DeepLabV3 of AtrousResNet, ImagePoolASPPHead; 0.2 million parameters; '
        'output_stride 16 (train), 8 (test)',
        'random',
        'cpu',
        'iterations 1 to 1; SGD from a learning rate of 0.007',
        str(log),
    ):
        assert said in console, said
    assert len(console.splitlines()) < 20


def test_the_log_file_keeps_all(started):
    _, console, log = started(cli_train.train)
    for kept in ('System environment:', 'Config:\n', 'Hooks will be executed', '  Schedule '):
        assert kept in log.read_text(), kept
        assert kept not in console or kept == '  Schedule '


def passes(screen, module, level):
    """Whether a line that a function of this module logs is shown."""
    record = logging.makeLogRecord(dict(levelno=level))
    return eval('screen.lets_pass(record)', dict(__name__=module, screen=screen, record=record))


def test_before_the_screen_warnings_and_our_own_lines_are_shown():
    screen = StartScreen()
    assert not passes(screen, 'mmengine.runner.runner', logging.INFO)
    assert passes(screen, 'mmengine.runner.runner', logging.WARNING)
    assert passes(screen, 'mmseg_deeplabv3x.models.published_weights', logging.INFO)
    screen.shown = True
    assert passes(screen, 'mmengine.runner.runner', logging.INFO)


def test_an_evaluation_starts_with_a_screen(started, trained):
    config, console, log = started(cli_test.test, str(trained[1]))
    for said in (
        config,
        'test 3 images, 1 a batch',
        'output_stride 8 (test)',
        str(trained[1]),
        str(log),
    ):
        assert said in console, said
    assert 'Schedule' not in console and len(console.splitlines()) < 20
    assert 'System environment:' in log.read_text()


def test_an_evaluation_that_draws_needs_no_training_data(started, trained, tmp_path):
    missing = {'train_dataloader.dataset.data_root': 'no/such'}
    line = [str(trained[1]), '--show-dir', str(tmp_path / 'pictures')]
    started(cli_test.test, *line, **missing)
    assert len(list((tmp_path / 'pictures').rglob('*.png'))) == 3


def test_it_says_what_it_starts_from_and_the_output_stride_that_is_trained(started, tmp_path):
    init = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer='BatchNorm2d'),
    ]
    changes = {'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None}
    _, console, _ = started(cli_train.train, **changes, **{'model.backbone.init_cfg': init})
    assert 'Weights   random' in console
    assert 'output_stride 16 (train)\n' in console


@pytest.mark.parametrize(
    'changes, warned',
    [
        ({}, True),
        ({'model.freeze_bn': True}, False),
        ({'train_dataloader.batch_size': 8}, False),
        ({'model.backbone.norm_cfg': dict(type='GN', num_groups=4),
          'model.decode_head.norm_cfg': dict(type='GN', num_groups=4)}, False),
    ],
)  # fmt: skip
def test_bn_on_few_images_is_one_line(started, changes, warned):
    _, console, _ = started(cli_train.train, **changes)
    found = re.findall(r'BN is trained on 2 images.*freeze_bn.*sync_bn.*with_cp', console)
    assert len(found) == warned
