"""From a folder of images to a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from new_config import main
from PIL import Image

from mmseg_deeplabv3x.cli.train import train
from mmseg_deeplabv3x.models import AtrousResNet

FOLDERS = ('--images', 'photos', '--masks', 'labels')
SMALL = ('model.backbone.base_channels=8', 'model.decode_head.in_channels=64')


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    """PyTorch has downloaded nothing yet."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))


def test_what_it_writes_trains_and_is_where_the_next_one_starts(own_data, capsys):
    (own_data / 'names.txt').write_text('sky\nroad\nred car\n')
    assert main([*FOLDERS, '--classes', 'names.txt', '-o', 'configs/my.py']) == 0
    out = capsys.readouterr().out
    assert 'No problems.' in out and out.rstrip().endswith('tools/train.py configs/my.py')
    assert 'resnet18 starts from scratch, with BN momentum 0.1' in out
    options = (*SMALL, 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
               'val_dataloader.num_workers=0', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
               'default_hooks.checkpoint.interval=2', 'visualizer.name=own_data')  # fmt: skip
    train(['configs/my.py', '--work-dir', 'run', '--cfg-options', *options])
    assert Path('run/iter_2.pth').is_file()

    assert main([*FOLDERS, '-o', 'next.py', '--from', 'run/iter_2.pth']) == 0
    cfg = Config.fromfile('next.py')
    assert (cfg.load_from, cfg.model.backbone.base_channels) == ('run/iter_2.pth', 8)
    train(['next.py', '--work-dir', 'run2', '--cfg-options', *options[2:-1], 'visualizer.name=b'])
    weights = [
        torch.load(f'{run}/iter_2.pth', weights_only=False)['state_dict'] for run in ('run', 'run2')
    ]
    key = 'backbone.layer1.0.conv1.weight'
    assert 0 < (weights[0][key] - weights[1][key]).abs().max() < 0.01


@pytest.mark.slow  # the framework formats the config seven times, 8 s each
def test_a_thousand_classes(own_data, capsys):
    rng = np.random.default_rng(0)
    for path in (own_data / 'labels').rglob('*.png'):
        ids = np.uint16([255, 999, 65535, *range(0, 1000, 7)])
        Image.fromarray(np.resize(rng.permutation(ids), (40, 52))).save(path)
    (own_data / 'names.txt').write_text(''.join(f'thing {i}\n' for i in range(1000)))
    assert main([*FOLDERS, '--classes', 'names.txt', '-o', 'my.py']) == 1
    out = capsys.readouterr().out
    assert '1000 classes: the masks have 16 bits, and 65535 is the label' in out
    assert 'No mask of train has a pixel of thing 1, thing 2, ' in out and 'Problems: 2\n' in out
    options = (*SMALL, 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
               'val_dataloader.num_workers=0', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
               'default_hooks.checkpoint.interval=2', 'visualizer.name=thousand')  # fmt: skip
    train(['my.py', '--work-dir', 'run', '--cfg-options', *options])
    assert Path('run/iter_2.pth').is_file()
    assert 'IoU/thing 999' in capsys.readouterr().out


def test_weights_that_pytorch_has_are_taken(own_data, capsys):
    (own_data / 'hub/checkpoints').mkdir(parents=True)
    (own_data / 'hub/checkpoints/resnet50-0676ba61.pth').touch()
    main([*FOLDERS, '-o', 'my.py'])
    assert 'resnet50 starts from torchvision://resnet50' in capsys.readouterr().out
    assert Config.fromfile('my.py').model.backbone.depth == 50
    main([*FOLDERS, '-o', 'my2.py', '--backbone', 'resnet101'])
    assert Config.fromfile('my2.py').model.backbone.init_cfg is None


def test_other_weights_that_pytorch_has_are_not_taken_for_them(own_data, capsys):
    (own_data / 'hub/checkpoints').mkdir(parents=True)
    (own_data / 'hub/checkpoints/resnet50-11ad3fa6.pth').touch()  # torchvision's V2
    main([*FOLDERS, '-o', 'my.py'])
    assert 'resnet18 starts from scratch' in capsys.readouterr().out


def test_a_checkpoint_of_another_model_is_refused_before_anything_is_written(own_data):
    model = dict(type='EncoderDecoder', decode_head=dict(type='FCNHead'))
    text = Config(dict(model=model)).pretty_text
    torch.save(dict(meta=dict(cfg=text), state_dict={}), 'other.pth')
    with pytest.raises(SystemExit, match='other.pth holds a EncoderDecoder; --from takes a Deep'):
        main([*FOLDERS, '-o', 'my.py', '--from', 'other.pth'])
    assert not (own_data / 'data').exists()


def test_weights_of_another_network_are_refused_before_anything_is_written(own_data, capsys):
    torch.save(AtrousResNet(depth=18).state_dict(), 'r18.pth')
    Path('text.pth').write_text('no weights')
    cached = own_data / 'hub/checkpoints/resnet50-0676ba61.pth'
    cached.parent.mkdir(parents=True)
    cached.write_bytes(Path('r18.pth').read_bytes())
    for weights, said in [
        ('r18.pth', r'--weights r18.pth do not fit resnet50: .*depth=18'),
        ('text.pth', r'text.pth cannot be read'),
        ('torchvision://resnet18', 'are not of resnet50: expected torchvision://resnet50, or'),
        ('torchvision://resnet50', '--weights torchvision://resnet50 do not fit resnet50: '),
        (f'https://there/{cached.name}', 'do not fit resnet50: '),
    ]:
        with pytest.raises(SystemExit, match=said):
            main([*FOLDERS, '-o', 'my.py', '--weights', weights])
        assert not (own_data / 'data').exists() and not Path('my.py').exists()
    main([*FOLDERS, '-o', 'my.py', '--weights', 'r18.pth', '--backbone', 'resnet18'])
    assert 'resnet18 starts from r18.pth' in capsys.readouterr().out
    main(
        [
            *FOLDERS,
            '-o',
            'my2.py',
            '--weights',
            'torchvision://resnet101',
            '--backbone',
            'resnet101',
        ]
    )
    assert 'resnet101 starts from torchvision://resnet101' in capsys.readouterr().out


def test_problems_of_the_data_end_it_or_are_its_exit_status(own_data, capsys):
    for folder in ('photos', 'labels'):
        for split, names in (('train', 'ab'), ('val', 'cd')):
            (own_data / folder / split).mkdir()
            for path in (own_data / folder).glob(f'[{names}]_*'):
                path.rename(own_data / folder / split / path.name)
        for path in (*(own_data / folder).glob('*.*'), *(own_data / folder).glob('day 1/*')):
            path.rename(own_data / folder / 'train' / path.name)
    image = own_data / 'photos/val/c_1.jpg'
    image.write_bytes((own_data / 'photos/train/a 1.JPG').read_bytes())
    assert main([*FOLDERS, '-o', 'my.py']) == 1
    out = capsys.readouterr().out
    assert 'train 7, val 4, as their folders say' in out
    assert 'val/c_1.jpg is in val, test and also in train as photos/train/' in out
    image.write_bytes(image.read_bytes()[:-900])
    with pytest.raises(SystemExit, match=r'c_1\.jpg is truncated'):
        main([*FOLDERS, '-o', 'my2.py'])


def test_what_to_type_next_is_what_the_user_has(own_data, capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['deeplabv3x new-config'])
    main([*FOLDERS, '-o', 'my.py'])
    shown, trained = capsys.readouterr().out.splitlines()[-2:]
    assert shown.startswith('  deeplabv3x show-data my.py  ')
    assert trained == '  deeplabv3x train my.py'


@pytest.mark.parametrize(
    'argv, said',
    [
        (('-o', 'my.txt'), 'takes a .py file'),
        (('-o', 'photos/../there.py'), 'is there already'),
        (('-o', 'my.py', '--val-share', '1'), 'between 0 and 1'),
        (('-o', 'my.py', '--weights', 'none.pth'), 'no checkpoint file'),
        (
            ('-o', 'my.py', '--weights', 'nothing://x'),
            "'nothing://x' is no address of weights",
        ),
        (('-o', 'my.py', '--weights', 'nothing://x.npz'), 'is no address of weights'),
        (('-o', 'my.py', '--weights', 'torchvision://resnet51'), 'is no address of weights'),
        (('-o', 'my.py', '--from', 'there.py', '--weights', 'there.py'), 'with --from, all comes'),
    ],
)
def test_bad_arguments(own_data, capsys, argv, said):
    (own_data / 'there.py').touch()
    with pytest.raises(SystemExit):
        main([*FOLDERS, *argv])
    assert said in capsys.readouterr().err
