"""What the commands say in other words than the framework, once they have installed it."""

import logging
import sys
import warnings

import mmengine.evaluator.metric
import mmengine.fileio.file_client
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric

from mmseg_deeplabv3x.cli import check_data as cli_check_data
from mmseg_deeplabv3x.cli import export as cli_export
from mmseg_deeplabv3x.cli import infer as cli_infer
from mmseg_deeplabv3x.cli import messages
from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.evaluation import ConfusionIoUMetric

pytestmark = pytest.mark.usefixtures('installed')


@pytest.fixture
def installed():
    messages.install_messages()


# ---------------------------------------------------------------- weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    from urllib.error import URLError

    def refuse(*args, **kwargs):
        raise URLError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    'name, file',
    [
        ('torchvision://resnet101', 'resnet101-63fe2227.pth'),
        ('open-mmlab://resnet101_v1c', 'resnet101_v1c-e67eebb6.pth'),
        ('mmcls://vgg11', 'vgg11_batch256_imagenet_20210208-4271cd6c.pth'),
        ('https://example.org/weights.pth', 'weights.pth'),
    ],
)
def test_weights_that_cannot_be_had_are_named(offline, name, file):
    with pytest.raises(FileNotFoundError) as error:
        CheckpointLoader.load_checkpoint(name)
    for part in (name, f'/{file}', f'{offline}/checkpoints/{file}', 'local file', 'init_cfg'):
        assert part in str(error.value)


def test_weights_with_an_unknown_name_are_told_apart(offline):
    with pytest.raises(FileNotFoundError, match='open-mmlab://resnet13 is no name of weights'):
        CheckpointLoader.load_checkpoint('open-mmlab://resnet13')


def test_torchvisions_weights_need_no_torchvision(offline, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    (offline / 'checkpoints').mkdir()
    torch.save(dict(conv=torch.ones(1)), offline / 'checkpoints/resnet18-f37072fd.pth')
    assert CheckpointLoader.load_checkpoint('torchvision://resnet18')['conv'] == 1


def test_weights_that_are_there_are_loaded(offline):
    (offline / 'checkpoints').mkdir()
    torch.save(dict(conv=torch.ones(1)), offline / 'checkpoints/resnet101_v1c-e67eebb6.pth')
    assert CheckpointLoader.load_checkpoint('open-mmlab://resnet101_v1c')['conv'] == 1


# ---------------------------------------------------------------- warnings


def heard(text, module):
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        messages.quiet_own_warnings()
        warnings.warn_explicit(text, UserWarning, 'file.py', 1, module=module)
    return bool(caught)


@pytest.mark.parametrize('text, module', messages._OWN_WARNINGS)
def test_a_warning_is_dropped_by_text_and_module_only(text, module):
    assert not heard(f'{text} and so on', module)
    assert heard(f'{text} and so on', 'somewhere.else')
    assert heard('anything else', module)


def test_the_scaler_of_stock_amp_gives_no_deprecation_warning(monkeypatch):
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter('error', FutureWarning)
        messages.quiet_own_warnings()
        with warnings.catch_warnings():
            # what only a machine without a GPU hears
            warnings.filterwarnings('ignore', '.*CUDA is not available')
            amp_optimizer_wrapper.AmpOptimWrapper(optimizer=optimizer)


def test_a_log_line_is_lowered_by_text_only(monkeypatch):
    lines = []
    module = mmengine.fileio.file_client
    monkeypatch.setattr(module, 'print_log', lambda msg, logger, level: lines.append((msg, level)))
    messages.lower_own_log_lines()
    module.print_log('"FileClient" will be deprecated in future.', level=logging.WARNING)
    module.print_log('Another warning', level=logging.WARNING)
    assert lines == [
        ('"FileClient" will be deprecated in future.', logging.DEBUG),
        ('Another warning', logging.WARNING),
    ]


class OtherMetric(IoUMetric):
    pass


@pytest.mark.parametrize(
    'metric, level',
    [
        (ConfusionIoUMetric, logging.DEBUG),
        (IoUMetric, logging.DEBUG),
        (OtherMetric, logging.WARNING),
    ],
)
def test_of_metrics_without_prefix_those_of_others_are_warned_of(metric, level, monkeypatch):
    levels = []
    module = mmengine.evaluator.metric
    monkeypatch.setattr(module, 'print_log', lambda msg, logger, level: levels.append(level))
    messages.lower_own_log_lines()
    metric()
    assert levels == [level]


# ---------------------------------------------------------------- lists of images


@pytest.fixture
def dataset(tmp_path):
    """Maker of a dataset from the text of its list."""

    def make(text):
        (tmp_path / 'a.txt').write_text(text)
        prefix = dict(img_path='images', seg_map_path='masks')
        return BaseSegDataset(ann_file='a.txt', data_root=str(tmp_path), data_prefix=prefix)

    return make


def test_blank_lines_of_a_list_are_skipped(dataset, tmp_path):
    found = dataset('\na\n  \n.b\n\n')
    assert [found.get_data_info(i)['img_path'] for i in range(len(found))] == [
        f'{tmp_path}/images/a.jpg',
        f'{tmp_path}/images/.b.jpg',
    ]


@pytest.mark.parametrize(
    'name', ['\ufeffa', 'a\tb', 'a\0b', 'x' * 300], ids=['BOM', 'two columns', 'null', 'long']
)
def test_a_line_that_is_no_name_is_named(dataset, tmp_path, name):
    with pytest.raises(ValueError) as error:
        dataset(f'{name}\nb\n')
    message = str(error.value)
    assert message.startswith(f'{tmp_path}/a.txt holds ')
    assert ascii(name)[1:-1][:40] in ascii(message).replace('\\\\', '\\')
    assert len(message) < 400 and '\0' not in message


def test_a_list_that_is_no_text_is_named(dataset, tmp_path, monkeypatch):
    write = type(tmp_path).write_text
    monkeypatch.setattr(type(tmp_path), 'write_text', lambda p, text: write(p, text, 'utf-16'))
    with pytest.raises(
        ValueError, match=f'{tmp_path}/a.txt is not a list of image names in UTF-8: '
    ):
        dataset('a\n')


def test_a_folder_in_a_list_is_no_blank_line(dataset):
    assert len(dataset('a\nsub/\n\n')) == 2


# ---------------------------------------------------------------- who installs it


def shared():
    """What the messages take the place of."""
    logs = [sys.modules[name].print_log for name in messages._OWN_LOG_LINES]
    return logs, BaseSegDataset.load_data_list, dict(CheckpointLoader._schemes)


def test_installing_twice_changes_nothing():
    before = shared()
    messages.install_messages()
    assert shared() == before


@pytest.mark.parametrize(
    'tool, words',
    [
        (cli_train.train, '{config}'),
        (cli_test.test, '{config} {weights}'),
        (cli_check_data.main, '{config}'),
        (cli_infer.infer, '{config} {weights} photos -o results'),
        (cli_export.export_model, '{config} {weights} --to onnx -o network.onnx'),
    ],
)
def test_the_commands_install_it(tool, words, tiny_config, tmp_path, monkeypatch):
    class Installed(Exception):
        pass

    def install_messages():
        raise Installed

    weights, config = tmp_path / 'weights.pth', tiny_config(f'installs_{tool.__module__}')
    torch.save({}, weights)
    monkeypatch.setattr(sys.modules[tool.__module__], 'install_messages', install_messages)
    with pytest.raises(Installed):
        tool(words.format(config=config, weights=weights).split())
