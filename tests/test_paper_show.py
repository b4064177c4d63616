"""What `show` says, against numbers of the paper and of mmengine."""

from __future__ import annotations

import pytest
import torch
from mmengine.analysis import FlopAnalyzer, parameter_count
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_deeplabv3x.paper import ROWS
from mmseg_deeplabv3x.paper.config import row_config
from mmseg_deeplabv3x.paper.show import describe, multiply_adds, parameters


def test_headline_row():
    row = ROWS['table6/os8-ms-flip']
    text = describe(row, row_config(row))
    training, evaluation = text.split('output_stride 8, evaluation:')
    assert 'published mIoU: 79.77' in text
    assert 'evaluates the training of table5/mg124-pool' in text
    assert 'scales 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, each also mirrored' in text
    assert 'block4 unit 3: stride 1, rate 8' in training  # 2 * (1, 2, 4)
    assert 'ASPP: 1x1, rates 6, 12, 18, image pooling' in training
    assert 'block3 units 2-23: stride 1, rate 2' in evaluation
    assert 'ASPP: 1x1, rates 12, 24, 36, image pooling' in evaluation
    assert 'model.output_stride.test = 8' in evaluation


def test_cascade_without_atrous_convolution():
    row = ROWS['table1/os256']
    text = describe(row, row_config(row))
    for block in range(2, 8):
        assert f'block{block} unit 1: stride 2, rate 1' in text
    assert 'evaluation' in text and 'ASPP' not in text
    assert "model.backbone.init_cfg.checkpoint = 'torchvision://resnet50'" in text


@pytest.mark.parametrize('row_id', ['table3/mg121-block5', 'table5/mg124-pool'])
def test_cost_is_mmengines_count_of_convolutions(row_id):
    options = {'model.backbone.base_channels': 4, 'model.backbone.depth': 50}
    model = row_config(ROWS[row_id], 'shapes', options).model
    init_default_scope('mmseg')
    network = MODELS.build(ConfigDict(model, data_preprocessor=None)).eval()
    theirs = FlopAnalyzer(network, torch.zeros(1, 3, 65, 65)).by_operator()
    assert multiply_adds(model, 16, 65) == theirs['conv']
    assert parameters(model) == parameter_count(network)['']
