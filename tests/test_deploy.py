"""The examples of docs/deploy.md run, and give the classes of PyTorch."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_deeplabv3x.cli.export import export_model
from mmseg_deeplabv3x.inference import DeepLabV3Predictor

pytest.importorskip('onnxscript', reason='exports need the extra deploy')
DOCUMENT = (Path(__file__).parents[1] / 'docs/deploy.md').read_text()
EXAMPLES = dict(re.findall(r'^## ([^\n]+)\n\n```python\n(.*?)```', DOCUMENT, re.M | re.S))


@pytest.mark.slow  # each exports, which takes some ten seconds
@pytest.mark.parametrize('title,kind', [('ONNX Runtime', 'onnx'), ('OpenVINO', 'openvino')])
def test_an_example_gives_the_classes_of_pytorch(title, kind, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 57, 3), np.uint8)).save('photo.jpg')
    file = 'model.onnx' if kind == 'onnx' else 'model.xml'
    flags = ['--dynamic', '--normalise-inside', '--argmax']
    export_model([*trained, '--to', kind, '-o', file, *flags])
    names = {}
    exec(EXAMPLES[title], names)
    expected = DeepLabV3Predictor(*trained, device='cpu', fast=False)('photo.jpg').mask
    assert names['classes'].shape == (1, 40, 57)
    assert (names['classes'][0] == expected).mean() > 0.999
