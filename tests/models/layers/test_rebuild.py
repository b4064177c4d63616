"""A module rebuilt as one of a subclass: what others hold of the old one goes on."""

import copy
import pickle

import torch
from torch import nn

from mmseg_deeplabv3x.models.layers.rebuild import rebuild


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
