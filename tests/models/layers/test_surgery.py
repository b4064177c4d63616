"""A module rebuilt as one of a subclass: what others hold of the old one goes on."""

import copy
import pickle

import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from torch import nn

from mmseg_deeplabv3x.models.layers.surgery import (
    call_activations_of_sync_bn,
    fuse_conv_bn,
    rebuild,
)


class Doubled(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


def test_everything_of_the_old_one_is_shared():
    old = nn.BatchNorm2d(3, momentum=0.3).double().eval()
    seen = []
    old.register_forward_hook(lambda module, inputs, output: seen.append(output))
    new = rebuild(Doubled, old)
    assert new.weight is old.weight and new.running_mean is old.running_mean
    assert not new.training and new.momentum == 0.3
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(new(x), 2 * old(x)) and len(seen) == 2
    assert type(old) is nn.BatchNorm2d


def test_copies_share_nothing():
    new = rebuild(Doubled, nn.BatchNorm2d(3))
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert type(other) is Doubled
        other(torch.randn(2, 3, 4, 4))
        assert other.num_batches_tracked == 1
    assert new.num_batches_tracked == 0


# ---- fuse_conv_bn


class BNAct(nn.BatchNorm2d):
    """As timm's: the activation is a child of the BN."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


class StandardisedConv(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight / self.weight.std(), self.bias)


@pytest.fixture
def fused():
    def fused(*layers):
        torch.manual_seed(0)
        net = nn.Sequential(*layers)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
                if module.affine:
                    nn.init.normal_(module.weight)
                    nn.init.normal_(module.bias)
        net.eval()
        fast = copy.deepcopy(net)
        fuse_conv_bn(fast)
        image = torch.randn(1, 3, 9, 9)
        with torch.no_grad():
            torch.testing.assert_close(fast(image), net(image), rtol=1e-5, atol=1e-5)
        return sum(isinstance(module, nn.BatchNorm2d) for module in fast.modules())

    return fused


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('bn', [nn.BatchNorm2d, BNAct])
def test_bn_behind_a_convolution_goes(fused, bias, bn):
    assert fused(nn.Conv2d(3, 4, 3, bias=bias), bn(4), nn.Conv2d(4, 5, 1, groups=1), bn(5)) == 0
    assert fused(nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), bn(4))) == 0
    assert fused(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=False)) == 0


def test_bn_behind_anything_else_stays(fused):
    assert fused(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)) == 1
    assert fused(StandardisedConv(3, 4, 3), nn.BatchNorm2d(4)) == 1
    assert fused(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), BNAct(4), nn.BatchNorm2d(4)) == 2


# ---- call_activations_of_sync_bn


@pytest.mark.parametrize('implementation', ['torch', 'mmcv'])
def test_a_bn_with_an_activation_inside_may_become_sync_bn(one_process, implementation):
    bns = BNAct(4), nn.BatchNorm2d(4)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(*bns)).eval()
    nn.init.normal_(bns[0].bias)
    image = torch.randn(2, 3, 9, 9)
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        expected = net(image)
        converted = convert_sync_batchnorm(net, implementation).eval()
        assert not torch.equal(converted(image), expected)
        for _ in range(2):  # the second time nothing is left to do
            call_activations_of_sync_bn(converted)
            layers = list(converted.modules())
            assert torch.equal(converted(image), expected)
        call_activations_of_sync_bn(converted)
        assert all(a is b for a, b in zip(converted.modules(), layers, strict=True))
    found = dict(converted.named_parameters())
    assert list(found) == list(parameters)
    assert all(found[name] is parameters[name] for name in found)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
