from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook

from mmseg_deeplabv3x.atrous import check_output_stride
from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli import user_errors
from mmseg_deeplabv3x.cli.user_errors import exit_on_user_error
from mmseg_deeplabv3x.data_check import check_before_training

VOC = dict(train_dataloader=dict(dataset=dict(type='PascalVOCDataset', data_root='no/such')))


def own_value():
    check_output_stride(7)


def own_missing():
    check_before_training(VOC, ('train_dataloader',))


@pytest.mark.parametrize('fault, said', [(own_value, '7'), (own_missing, 'no/such')])
def test_our_own_errors_are_a_sentence(fault, said):
    with pytest.raises(SystemExit) as end, exit_on_user_error('tool.py'):
        fault()
    assert end.value.code.startswith('tool.py: ') and said in end.value.code


def foreign_value():
    int('x')


def foreign_missing():
    Path('no/such').read_text()


def foreign_through_ours():
    check_before_training(SimpleNamespace(get=lambda key: int('x')), ('train_dataloader',))


def of_no_such_kind():
    check_before_training(None, ('train_dataloader',))


@pytest.mark.parametrize(
    'fault, error',
    [
        (foreign_value, ValueError),
        (foreign_missing, FileNotFoundError),
        (foreign_through_ours, ValueError),
        (of_no_such_kind, AttributeError),
    ],
)
def test_all_others_keep_their_traceback(fault, error):
    with pytest.raises(error), exit_on_user_error('tool.py'):
        fault()


def test_in_pythons_development_mode_ours_do_too(monkeypatch):
    monkeypatch.setattr(user_errors, 'sys', SimpleNamespace(flags=SimpleNamespace(dev_mode=True)))
    with pytest.raises(ValueError), exit_on_user_error('tool.py'):
        own_value()


@pytest.fixture
def ends(monkeypatch):
    """``ends(cli_train.train, ...)``: what a tool ends with, as tools/NAME.py."""

    def run(tool, *line):
        monkeypatch.setattr('sys.argv', [f'tools/{tool.__name__}.py'])
        with pytest.raises(SystemExit) as end:
            tool([str(word) for word in line])
        return end.value.code

    return run


def test_what_is_wrong_with_the_start_of_a_training(ends, tiny_config, tmp_path):
    line = [tiny_config('refused'), '--work-dir', tmp_path, '--cfg-options']
    said = ends(cli_train.train, *line, 'model.output_stride=7')
    assert said.startswith('train.py: output_stride')
    said = ends(cli_train.train, *line, 'train_dataloader.dataset.ann_file=none.txt')
    assert said.startswith('train.py: ShapesDataset finds no ') and '/none.txt: ' in said


@pytest.mark.parametrize('option, said', [
    ('model.backbone.type=AtrousResnet', "'AtrousResNet' is probably meant"),
    ('model.outputstride=8', "'model.outputstride'"),
    ('train_datloader.batch_size=2', "'train_dataloader' is probably meant"),
    ('load_from=no/such.pth', "'no/such.pth'"),
    ('model.decode_head.num_classes=2', 'num_classes is 2'),
])  # fmt: skip
def test_mistyped_settings(ends, tiny_config, tmp_path, option, said):
    line = [tiny_config('mistyped'), '--work-dir', tmp_path, '--cfg-options', option]
    code = ends(cli_train.train, *line)
    assert code.startswith('train.py: ') and said in code and '\n' not in code


def test_what_is_wrong_with_an_evaluation(ends, tiny_config, tmp_path):
    weights = tmp_path / 'weights.pth'
    weights.write_text('<html>404</html>')
    said = ends(cli_test.test, tiny_config('evaluated'), weights, '--work-dir', tmp_path)
    assert said.startswith('test.py: ') and str(weights) in said


class FailsAt(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, **_):
        if runner.iter == self.iteration:
            own_value()


@pytest.mark.parametrize('iteration, error', [(0, SystemExit), (1, ValueError)])
def test_from_the_second_iteration_on_tracebacks_are_kept(
    tiny_config, tmp_path, monkeypatch, iteration, error
):
    run = cli_train.run_training

    def run_and_fail(runner):
        runner.register_hook(FailsAt(iteration))
        run(runner)

    monkeypatch.setattr(cli_train, 'run_training', run_and_fail)
    with pytest.raises(error):
        cli_train.train([tiny_config(f'fails_at_{iteration}'), '--work-dir', str(tmp_path)])
