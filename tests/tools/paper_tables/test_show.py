"""What `show` says."""

from __future__ import annotations

from paper_tables.config import row_config
from paper_tables.show import describe

from mmseg_deeplabv3x.paper import ROWS


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
