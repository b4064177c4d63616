"""Config files for the command lines to read."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)


@pytest.fixture
def write():
    """``write(path, model={})`` writes a config and gives its path as text."""

    def write(path, **cfg):
        Config(cfg).dump(path)
        return str(path)

    return write


@pytest.fixture
def train_config():
    return lambda *argv: cli_train.train_config(cli_train.parse(cli_train.train_parser(), argv))


@pytest.fixture
def evaluation_config():
    return lambda *argv: cli_test.test_config(cli_test.test_parser().parse_args(argv))


@pytest.fixture
def config(tmp_path, monkeypatch, write):
    """Path of a config file with what the command lines touch, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write(
        tmp_path / 'small.py',
        model=dict(type='EncoderDecoder'),
        optim_wrapper=dict(type='OptimWrapper'),
        test_dataloader=dict(dataset=dict(pipeline=['plain'])),
        test_evaluator=dict(type='IoUMetric'),
        sync_bn='torch',
        visualizer=dict(
            type='SegLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        ),
        default_hooks=dict(visualization=dict(type='SegVisualizationHook', interval=50)),
    )


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({}, path)
    return str(path)
