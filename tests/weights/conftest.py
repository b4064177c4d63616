"""Models to load weights into."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm


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
