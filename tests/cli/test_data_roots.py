"""A missing data root is found before anything is built, through any wrapper."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.data_roots import check_data_roots

VOC = dict(type='PascalVOCDataset', data_root='nowhere/VOC2012')
WRAPPED = {
    'train_dataloader.dataset': VOC,
    'train_dataloader.dataset.dataset': dict(type='BootstrapDataset', dataset=VOC),
    'train_dataloader.dataset.datasets[0].dataset': dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=VOC)]
    ),
}


@pytest.mark.parametrize('key', WRAPPED)
def test_a_missing_root_says_how_to_get_the_data(key):
    cfg = Config(dict(train_dataloader=dict(dataset=WRAPPED[key])))
    with pytest.raises(FileNotFoundError) as error:
        check_data_roots(cfg, ('train_dataloader',))
    message = str(error.value)
    assert 'PascalVOCDataset finds no nowhere/VOC2012:' in message
    assert '`python tools/prepare_data.py voc --root nowhere/VOC2012` makes it' in message
    assert f'as {key}.data_root in the config' in message


@pytest.mark.parametrize('missing', ['ImageSets/train_aug.txt', 'JPEGImages', 'Aug'])
def test_a_root_without_the_split_or_a_folder_is_not_enough(tmp_path, missing):
    for part in {'ImageSets/train_aug.txt', 'JPEGImages', 'Aug'} - {missing}:
        (tmp_path / part).mkdir(parents=True)
    dataset = dict(
        type='PascalVOCDataset',
        data_root=str(tmp_path),
        ann_file='ImageSets/train_aug.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='Aug'),
    )
    with pytest.raises(FileNotFoundError, match=f'finds no {tmp_path / missing}:.*`sbd`'):
        check_data_roots(
            Config(dict(train_dataloader=dict(dataset=dataset))), ('train_dataloader',)
        )


def test_what_is_there_or_not_used_is_not_complained_about(tmp_path):
    there = dict(type='PascalVOCDataset', data_root=str(tmp_path))
    cfg = Config(dict(train_dataloader=dict(dataset=VOC), test_dataloader=dict(dataset=there)))
    check_data_roots(cfg, ('test_dataloader', 'val_dataloader'))
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='gone'):
        check_data_roots(cfg, ('test_dataloader',))


def test_both_tools_ask(tmp_path):
    config = str(Path(__file__).parents[2] / 'configs/deeplabv3x_r101_os8_voc.py')
    checkpoint = tmp_path / 'weights.pth'
    checkpoint.touch()
    options = [f'{loader}_dataloader.dataset.data_root=nowhere' for loader in ('train', 'test')]
    for parse, configure, argv in (
        (cli_train.train_parser, cli_train.train_config, [config]),
        (cli_test.test_parser, cli_test.test_config, [config, str(checkpoint)]),
    ):
        args = parse().parse_args([*argv, '--cfg-options', *options])
        with pytest.raises(FileNotFoundError, match='PascalVOCDataset finds no nowhere'):
            configure(args)
