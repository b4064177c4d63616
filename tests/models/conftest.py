"""Shared by the tests of the network's parts."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import distributed
from torch.nn.modules.batchnorm import _BatchNorm

import mmseg_deeplabv3x  # noqa: F401


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope('mmseg')


@pytest.fixture
def build():
    """Build a registered module from its config, in evaluation mode, as if it had been trained."""

    def build(seed=0, **cfg):
        torch.manual_seed(seed)
        module = MODELS.build(ConfigDict(cfg))
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(part.weight)
            if isinstance(part, _BatchNorm):
                torch.nn.init.uniform_(part.running_mean, -0.5, 0.5)
                torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
                torch.nn.init.uniform_(part.weight, 0.5, 1.5)
                torch.nn.init.uniform_(part.bias, -0.5, 0.5)
        module.eval()  # mmseg's ResNet returns nothing here
        return module

    return build


@pytest.fixture
def one_process(tmp_path):
    """A group of one process."""
    store = distributed.FileStore(str(tmp_path / 'store'), 1)
    distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def relative_error():
    """Largest difference of two maps over the largest value of the reference."""

    def relative_error(value, reference):
        assert value.shape == reference.shape
        return ((value - reference).abs().max() / reference.abs().max()).item()

    return relative_error
