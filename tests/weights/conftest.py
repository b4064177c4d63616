"""Models to load weights into."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_deeplabv3x.cli.runner import load_config
from mmseg_deeplabv3x.cli.train import train_parser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/weights.md').read_text()


@pytest.fixture
def lively():
    """Give a module BN statistics as if it had been trained, in evaluation mode."""

    def lively(module, seed=0):
        torch.manual_seed(seed)
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                torch.nn.init.uniform_(part.running_mean, -0.5, 0.5)
                torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
                torch.nn.init.uniform_(part.weight, 0.5, 1.5)
                torch.nn.init.uniform_(part.bias, -0.5, 0.5)
        module.eval()  # mmseg's ResNet returns nothing here
        return module

    return lively


@pytest.fixture
def relative_error():
    """Largest difference of two maps over the largest value of the reference."""

    def relative_error(value, reference):
        assert value.shape == reference.shape
        return ((value - reference).abs().max() / reference.abs().max()).item()

    return relative_error


@pytest.fixture
def build():
    """Build a registered module from its config, in evaluation mode."""

    def build(**cfg):
        init_default_scope('mmseg')
        module = MODELS.build(cfg)
        module.eval()
        return module

    return build


@pytest.fixture
def deeplab(build):
    """Build a ``DeepLabV3`` on ResNet-18; further arguments are the head's."""

    def deeplab(depth=18, num_classes=3, **head):
        return build(
            type='DeepLabV3',
            backbone=dict(type='AtrousResNet', depth=depth),
            decode_head=dict(
                type='ImagePoolASPPHead',
                in_channels=512,
                channels=16,
                num_classes=num_classes,
                **head,
            ),
        )

    return deeplab


@pytest.fixture
def documented():
    """Build the model of the command that docs/weights.md has for a source, without numbers.

    Further options of the command must stand in the same row, or below the table.
    """

    def documented(source, *options):
        (row,) = (line for line in PAGE.splitlines() if line.startswith(f'| {source}'))
        config, *command = re.search('`(configs/.*?)`', row)[1].split()
        told = row + PAGE.partition(' of another depth: ')[2]
        assert all(re.sub(r'depth=\d+', 'depth=50', option) in told for option in options)
        cfg = load_config(train_parser().parse_args([str(ROOT / config), *command, *options]))
        inner = cfg.model.backbone.get('backbone')
        if inner:
            pytest.importorskip('timm', reason='needs timm')
        given = [
            cfg.load_from,
            ((inner or cfg.model.backbone).get('init_cfg') or {}).get('checkpoint'),
        ]
        assert sorted(given, key=str) == ['FILE', None]
        init_default_scope('mmseg')
        # AtrousBackbone proves on an image that it is exact, which needs numbers
        with torch.device('cpu' if inner else 'meta'):
            return MODELS.build(cfg.model)

    return documented
