"""UpsampledFCNHead: mmseg's FCNHead but for its loss, which tests/losses compares."""

import pytest
import torch

SHAPE = dict(in_channels=8, channels=8, num_classes=3)


@pytest.mark.parametrize(
    'shape', [dict(num_convs=0, concat_input=False), dict(num_convs=2, concat_input=True)]
)
def test_loads_and_computes_as_mmsegs(build, shape):
    ours = build(type='UpsampledFCNHead', **SHAPE, **shape).eval()
    theirs = build(type='FCNHead', **SHAPE, **shape).eval()
    ours.load_state_dict(theirs.state_dict())
    x = [torch.randn(2, 8, 9, 7)]
    assert torch.equal(ours(x), theirs(x))
