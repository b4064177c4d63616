"""Size and cost of a network, against mmengine's counts."""

from __future__ import annotations

import pytest
import torch
from common.network_description import describe_network
from mmengine.analysis import FlopAnalyzer, parameter_count
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from paper_tables.config import row_config
from torch import nn

from mmseg_deeplabv3x.paper import ROWS
from mmseg_deeplabv3x.paper.network import count_flops, multiply_adds


@pytest.mark.parametrize('row_id', ['table3/mg121-block5', 'table5/mg124-pool'])
def test_cost_is_mmengines_count_of_convolutions(row_id):
    options = {'model.backbone.base_channels': 4, 'model.backbone.depth': 50}
    model = row_config(ROWS[row_id], 'shapes', options).model
    init_default_scope('mmseg')
    network = MODELS.build(ConfigDict(model, data_preprocessor=None)).eval()
    theirs = FlopAnalyzer(network, torch.zeros(1, 3, 65, 65)).by_operator()
    assert multiply_adds(model, 16, (65, 65)) == theirs['conv']
    number = parameter_count(network)[''] / 1e6
    assert describe_network(model, {16: 'here'}, (65, 65))[-1] == f'{number:.2f} M parameters'


def test_counts_the_products_and_sums_of_convolutions():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, padding=4, dilation=4, bias=False),
    )
    first, second = 8 * 3 * 49, 4 * 8 * 9
    positions = 2 * 17 * 21
    images = torch.randn(2, 3, 33, 41)
    assert count_flops(lambda: network(images)) == 2 * positions * (first + second)
    # backward: the gradients of both filters, and of the map between them
    backward = count_flops(lambda: network(images).sum().backward())
    assert backward == 2 * positions * (2 * first + 3 * second)
