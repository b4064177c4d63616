"""What the README shows works."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


@pytest.fixture
def stock_based(tmp_path):
    """The README's config over mmseg's stock files, narrow and without pretrained weights."""
    (example,) = [
        text for text in re.findall(r'```python\n(.*?)```', README, re.S) if '_base_' in text
    ]
    path = tmp_path / 'example.py'
    path.write_text(example)
    cfg = Config.fromfile(path)
    cfg.model.backbone.update(base_channels=8, init_cfg=None)
    cfg.model.decode_head.in_channels = 256
    return cfg


def test_the_config_over_mmsegs_stock_files_builds_and_predicts(stock_based):
    init_default_scope('mmseg')
    model = MODELS.build(stock_based.model)
    assert type(model).__name__ == 'DeepLabV3'
    assert model.output_strides == dict(train=16, test=8)
    image = torch.zeros(3, 65, 97, dtype=torch.uint8)
    model.eval()
    with torch.no_grad():
        result = model.test_step(dict(inputs=[image]))[0]
    assert result.pred_sem_seg.shape == (65, 97)


def test_every_config_is_in_the_table_and_every_name_of_the_table_is_there():
    named = set(re.findall(r'`(deeplabv3x_\w+\.py)`', README))
    assert named == {path.name for path in (ROOT / 'configs').glob('*.py')}


def test_every_linked_file_is_there():
    for link in re.findall(r'\]\(([^)#:]+)\)', README):
        assert (ROOT / link).exists(), link
