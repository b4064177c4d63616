import itertools
import re
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmseg.registry import TRANSFORMS

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


@pytest.mark.parametrize(
    'tool, typed',
    [
        ('train.py', '`python tools/prepare_data.py voc --root'),
        ('deeplabv3x train', '`deeplabv3x prepare-data voc --root'),
    ],
)
def test_tools_in_an_error_are_named_as_the_user_types_them(tool, typed):
    with pytest.raises(SystemExit) as end, exit_on_user_error(tool):
        own_missing()
    assert typed in end.value.code


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


def interrupt(*_, **__):
    raise KeyboardInterrupt


def interrupted_formatting():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', interrupt)
        return Config(dict(a=1)).pretty_text


def interrupted_twice_over():
    try:
        interrupted_formatting()
    except SyntaxError as error:
        raise ValueError('no config') from error


@pytest.mark.parametrize('fault', [interrupt, interrupted_formatting, interrupted_twice_over])
def test_an_interrupt_stays_one_whatever_it_is_turned_into(fault):
    with pytest.raises(KeyboardInterrupt) as end, exit_on_user_error('tool.py'):
        fault()
    assert end.value.__suppress_context__ or end.value.__context__ is None


@pytest.mark.parametrize('variable', ['RANK', 'SLURM_PROCID'])
def test_of_several_processes_the_first_speaks_first(monkeypatch, variable):
    slept = []
    monkeypatch.setattr(user_errors.time, 'sleep', slept.append)
    for rank, waits in (('0', False), ('1', True)):
        monkeypatch.setenv(variable, rank)
        with pytest.raises(SystemExit), exit_on_user_error('tool.py'):
            own_value()
        assert bool(slept) == waits


@pytest.fixture
def ends(monkeypatch):
    """``ends(cli_train.train, ...)``: what a tool ends with, as tools/NAME.py."""

    def run(tool, *line):
        monkeypatch.setattr('sys.argv', [f'tools/{tool.__name__}.py'])
        with pytest.raises(SystemExit) as end:
            tool([str(word) for word in line])
        return end.value.code

    return run


@pytest.fixture(scope='module')
def fails(tiny_config, tmp_path_factory):
    """``fails(tool, arguments, code)``: the one sentence that a command ends with."""
    config = Path(tiny_config('mistake'))
    text, folder = config.read_text(), tmp_path_factory.mktemp('mistakes')
    numbers = itertools.count()

    def run(tool, arguments=(), code=''):
        number = next(numbers)
        path = folder / f'mistake_{number}.py'
        path.write_text(f'{text.replace("mistake", path.stem)}\n{code}\n')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('sys.argv', [f'tools/{tool.__name__}.py'])
            with pytest.raises(SystemExit) as end:
                tool([str(path), *map(str, arguments), '--work-dir', str(folder / path.stem)])
        said = end.value.code  # what Python writes to stderr; the status is then 1
        assert isinstance(said, str), f'status {said}'
        assert said.startswith(f'{tool.__name__}.py: ') and '\n' not in said
        return said

    return run


def refuse(*_, **__):
    raise URLError('no network')


PIPELINE = 'train_dataloader.dataset.pipeline'
INIT = 'model.backbone.init_cfg'


@pytest.mark.parametrize('options, said', [
    # names, at each level
    ('train_datloader.batch_size=2', "'train_dataloader' is probably meant"),
    ('train_dataloader.num_worker=1', "'train_dataloader.num_workers' is probably meant"),
    ('model.test_cfg.mod=slide', "'model.test_cfg.mode' is probably meant"),
    ('default_hooks.checkpiont.interval=2', "'default_hooks.checkpoint' is probably meant"),
    ('model.outputstride=8', "'model.outputstride'.*'output_stride' is probably meant"),
    ('model.decode_head.chanels=16', "'model.decode_head.chanels'.*'channels' is"),
    ('train_cfg.max_iter=4', "'train_cfg.max_iter'.*'max_iters' is probably meant"),
    ('optim_wrapper.optimizer.momentun=0.9', "'optim_wrapper.optimizer.momentun'.*'momentum' is"),
    ('optim_wrapper.clip_grad.max_nrom=1', "'optim_wrapper.clip_grad.max_nrom' to clip_grad_norm_"),
    ('param_scheduler.powr=2', "'param_scheduler.powr'.*'power' is probably meant"),
    ('randomness.sed=3', "'randomness.sed'.*'seed' is probably meant"),
    ('train_dataloader.dataset.data_rot=x', "'train_dataloader.dataset.data_rot'.*'data_root' is"),
    # types
    ('model.type=DeepLabv3', "model: There is no model.*'DeepLabV3' is probably meant"),
    ('model.backbone.type=AtrousResnet', "model.backbone: .*'AtrousResNet' is probably meant"),
    ('model.decode_head.loss_decode.type=CrosEntropyLoss', "loss_decode: .*'CrossEntropyLoss' is"),
    ('default_hooks.checkpoint.type=Chekpoint', "default_hooks.checkpoint: There is no hook"),
    ('optim_wrapper.optimizer.type=SDG', "optim_wrapper.optimizer.type: .*'SGD' is probably"),
    ('param_scheduler.type=DeepLabPoly', "param_scheduler: .*'DeepLabPolyLR' is probably meant"),
    ('train_dataloader.sampler.type=InfinitSampler', "sampler: .*'InfiniteSampler' is probably"),
    ('train_dataloader.dataset.type=ShapeDataset', "dataset: .*'ShapesDataset' is probably meant"),
    (f'{PIPELINE}.2.type=RandomCorp', rf"{PIPELINE}.2: .*'RandomCrop' is probably meant"),
    ('val_evaluator.type=IoUMetrik', "val_evaluator: .*'IoUMetric' is probably meant"),
    ('visualizer.type=Nope', 'visualizer: There is no visualizer'),
    ('runner_type=Nope', "runner_type: there is no runner 'Nope'"),
    (f'{INIT}.type=Pretraind', f"{INIT}: .*'Pretrained' is probably meant"),
    # values of a wrong type
    ('model.decode_head.channels=abc', "model.decode_head.channels is 'abc'.*takes int"),
    ('model.decode_head.channels=[16]', r'model.decode_head.channels is \[16\].*takes int'),
    ('model.backbone=AtrousResNet', "model.backbone is 'AtrousResNet'.*takes dict"),
    ('model.backbone.depth=18x', 'model.backbone: invalid depth 18x'),
    ('model.backbone.multi_grid=x', r"multi_grid \('x',\) has 1 unit rates"),
    ('train_dataloader.batch_size=two', 'train_dataloader: batch_size should be a positive'),
    ('optim_wrapper.optimizer.lr=fast', "optim_wrapper.optimizer.lr is 'fast'.*float"),
    ('train_cfg.max_iters=abc', "train_cfg.max_iters is 'abc'.*takes int"),
    ('visualizer.vis_backends=[dict(type=Local)]', 'visualizer: vis_backends must be a list of'),
    ('log_level=LOUD', "log_level: there is no 'LOUD'"),
    # values that cannot be
    ('model.output_stride=7', 'output_stride must be a power of two of at least 8, but got 7'),
    ('model.backbone.depth=19', 'model.backbone: invalid depth 19'),
    ('model.decode_head.num_classes=2', 'num_classes is 2'),
    ('val_evaluator.iou_metrics=[mIuO]', "val_evaluator.iou_metrics is .*: IoUMetric knows mIoU"),
    ('train_dataloader.batch_size=1', 'a batch of at least 2 images'),
    ('train_dataloader.num_workers=-1', 'train_dataloader: num_workers .* non-negative'),
    ('train_cfg.val_interval=0', 'train_cfg.val_interval must be at least 1, but got 0'),
    ('optim_wrapper.optimizer.lr=-1', 'optim_wrapper.optimizer: Invalid learning rate: -1'),
    ('optim_wrapper.accumulative_counts=0', 'optim_wrapper: _accumulative_counts at least'),
    (f'{PIPELINE}.2.crop_size=-5', f'{PIPELINE}.2: `assert crop_size'),
    (f'{PIPELINE}.9.type=RandomCrop', 'Index 9 exceeds the length of list'),
    ('default_hooks.logger.interval=0', 'default_hooks.logger: interval must be greater than 0'),
    ('launcher=pytorch', 'use tools/dist_train.sh'),
    ('param_scheduler.by_epoch=True', 'DeepLabPolyLR counts epochs, .* give it by_epoch=False'),
    ('param_scheduler.type=PolyLR param_scheduler.by_epoch=True', 'PolyLR counts epochs'),
    # what is not there
    ('load_from=no/such.pth', "load_from: there is no checkpoint file 'no/such.pth'"),
    (f'{INIT}.type=Pretrained {INIT}.checkpoint=no/such.pth', f'{INIT}: no/such.pth can not be'),
    ('train_dataloader.dataset.data_root=no/such', 'set train_dataloader.dataset.data_root'),
    ('train_dataloader.dataset.ann_file=none.txt', 'ShapesDataset finds no .*/none.txt'),
])  # fmt: skip
def test_a_mistake_is_one_sentence_that_names_it(fails, options, said):
    assert re.search(said, fails(cli_train.train, ['--cfg-options', *options.split()]))


@pytest.mark.parametrize('code, said', [
    ("model['x'", r"mistake_\d+.py: .*was never closed"),
    ('x = undefined', r"mistake_\d+.py, line \d+: name 'undefined' is not defined"),
    ('del model', "The config: there is no 'model'"),
    ('del train_cfg', 'train_dataloader, train_cfg, and optim_wrapper should be'),
    ("_base_ = 'none.py'", 'none.py'),
    ("custom_imports = dict(imports=['no_such_package'])", "No module named 'no_such_package'"),
    ("custom_hooks = [dict(type='NoHook')]", r"custom_hooks.0: There is no hook.*custom_imports\?"),
    ("default_hooks['checkpiont'] = dict(interval=2)", "checkpiont: It has no type; 'checkpoint'"),
    ("model['backbone'] = dict(type='TIMMBackbone', model_name='x')", 'model.backbone: timm is'),
    ("model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='torchvision://resnet18')",
     'torchvision://resnet18 cannot be had .*or name a local file'),
])  # fmt: skip
def test_a_mistake_in_the_file_is_one_sentence(fails, monkeypatch, code, said):
    for missing in ('torchvision', 'timm'):
        monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr('mmseg.models.backbones.timm_backbone.timm', None)
    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    assert re.search(said, fails(cli_train.train, code=code))


CROP = "train_dataloader['dataset']['pipeline'][2]['crop_size'] = (65.0, 65.0)"


@pytest.mark.parametrize('code, said', [
    ("model['backbone']['in_channels'] = 4", 'model.backbone.conv1 fails in .*have 4 channels'),
    ("model['decode_head']['loss_decode'] = dict(type='CrossEntropyLoss', class_weight=[1.0])",
     'model.decode_head.loss_decode fails in the first iteration: weight tensor should be'),
    (CROP, rf'{PIPELINE}.2, on .*jpg fails in the first iteration: slice indices must be'),
    (f"{CROP}; train_dataloader['num_workers'] = 1",
     'A data pipeline, in mmseg/datasets/transforms/transforms.py fails.*slice indices must be'),
    ("default_hooks['checkpoint']['interval'] = ['2']",
     "^train.py: default_hooks.checkpoint fails .* 'int'; .*interval.0 is the text '2'"),
    # numbers as texts, also those that are used long after it
    ("default_hooks['checkpoint']['interval'] = '2'",
     "^train.py: default_hooks.checkpoint.interval is the text '2', is a number meant"),
    ("log_processor['window_size'] = '1'; default_hooks['logger']['interval'] = 2",
     "^train.py: log_processor.window_size is the text '1', is a number meant"),
    ("custom_hooks = [dict(type='EarlyStoppingHook', monitor='mIoU', patience='3')]",
     "^train.py: custom_hooks.0.patience is the text '3', is a number meant"),
    ("model['backbone']['depth'] = '18'", "depth is the text '18', is a number meant"),
    ("train_dataloader['num_workers'] = '2'", "num_workers is the text '2', is a number meant"),
    ("model['decode_head']['loss_decode'] = dict(type='CrossEntropyLoss', loss_weight='0.4')",
     "loss_decode.loss_weight is the text '0.4'"),
    ("model['decode_head']['num_classes'] = '9'", "num_classes is '9', but the data"),
    ("model['decode_head']['ignore_index'] = '255'", "ignore_index is '255'"),
    ("train_cfg['val_interval'] = '1'", "train_cfg.val_interval must be .* but got '1'"),
    ("train_cfg['val_begin'] = '1'", "train_cfg.val_begin must be at least 0, but got '1'"),
    ("model['data_preprocessor']['size'] = (65, 65)\n"
     "train_dataloader['dataset']['pipeline'][2]['crop_size'] = ('65', '65')",
     f"{PIPELINE}.2: .*; {PIPELINE}.2.crop_size.0 is the text '65'"),
])  # fmt: skip
def test_what_only_the_first_iteration_meets_is_one_sentence(fails, code, said):
    assert re.search(said, fails(cli_train.train, code=code))


def test_the_users_own_code_keeps_its_traceback_there_too(tiny_config, tmp_path, monkeypatch):
    @TRANSFORMS.register_module()
    class OwnStep:
        def __call__(self, results):
            return results['nothing']

    config = Path(tiny_config('own_step'))
    code = "train_dataloader['dataset']['pipeline'].insert(2, dict(type='OwnStep'))\n"
    config.write_text(f'{config.read_text()}\n{code}')
    with pytest.raises(KeyError, match='nothing'):
        cli_train.train([str(config), '--work-dir', str(tmp_path)])


def test_a_work_dir_that_is_a_file(ends, tiny_config, tmp_path):
    path = tmp_path / 'file'
    path.touch()
    said = ends(cli_train.train, tiny_config('file'), '--work-dir', path)
    assert said.startswith('train.py: ') and str(path) in said and '\n' not in said


@pytest.fixture(scope='module')
def no_checkpoints(tmp_path_factory):
    """{kind: file that is no checkpoint}."""
    folder = tmp_path_factory.mktemp('no_checkpoints')
    files = {kind: folder / f'{kind}.pth' for kind in ('empty', 'text', 'zip', 'model', 'script')}
    files['empty'].touch()
    files['text'].write_text('<html>404</html>')
    with zipfile.ZipFile(files['zip'], 'w') as archive:
        archive.writestr('a.txt', 'a')
    torch.save(torch.nn.Conv2d(1, 1, 1), files['model'])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.script(torch.nn.Conv2d(1, 1, 1)).save(str(files['script']))
    return files


@pytest.mark.parametrize('kind', ['empty', 'text', 'zip', 'model', 'script'])
def test_a_file_that_is_no_checkpoint(fails, no_checkpoints, kind):
    path = no_checkpoints[kind]
    assert str(path) in fails(cli_test.test, [path])
    assert str(path) in fails(cli_train.train, ['--cfg-options', f'load_from={path}'])
    options = [f'{INIT}.type=Pretrained', f'{INIT}.checkpoint={path}']
    assert str(path) in fails(cli_train.train, ['--cfg-options', *options])


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
