import hashlib
import re

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from PIL import Image

from mmseg_deeplabv3x.cli import zoo
from mmseg_deeplabv3x.cli.infer import infer


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Published weights of a stock network, made narrow, at an address and with a hash."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    config, _ = zoo.get_config(f'mmseg::{zoo.ZOO["r50-voc"]}', pretrained=True), None
    config.model.backbone.update(depth=18, base_channels=4, stem_channels=4)
    config.model.decode_head.update(in_channels=32, channels=4)
    config.model.auxiliary_head.update(in_channels=16, channels=4)
    config.model.pretrained = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), tmp_path / 'weights')
    content = (tmp_path / 'weights').read_bytes()
    name = f'net-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    (tmp_path / name).write_bytes(content)
    config.model_path = (tmp_path / name).as_uri()
    monkeypatch.setattr(zoo, 'get_config', lambda path, pretrained: config)
    return tmp_path / name


@pytest.mark.parametrize('name', zoo.ZOO)
def test_every_name_is_a_model_that_mmseg_publishes_with_a_hash(name):
    config = zoo.get_config(f'mmseg::{zoo.ZOO[name]}', pretrained=True)
    assert re.search(r'^https://.*/deeplabv3_r\d+-.*-[0-9a-f]{8}\.pth$', config.model_path)
    assert config.model.decode_head.type == 'ASPPHead'


def test_a_mask_without_a_training_and_one_download(server, tmp_path):
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / 'a.png')
    line = ['--zoo', 'r50-voc', str(tmp_path / 'a.png'), '--device', 'cpu', '-o']
    assert infer([*line, str(tmp_path / 'out')]) == 0
    assert Image.open(tmp_path / 'out/masks/a.png').size == (48, 32)
    server.unlink()
    assert infer([*line, str(tmp_path / 'again'), '--tta']) == 0


def test_other_bytes_are_refused(server):
    server.write_bytes(server.read_bytes() + b'x')
    with pytest.raises(ValueError, match='is not what its name says'):
        zoo.from_zoo('r50-voc')
    assert not list(server.parent.glob('hub/checkpoints/*'))


def test_without_a_network_the_place_for_the_file_is_named(server):
    server.unlink()
    with pytest.raises(FileNotFoundError, match=r'net-\w+.pth cannot be downloaded .* to .*hub'):
        zoo.from_zoo('r50-voc')
