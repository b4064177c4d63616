from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_deeplabv3x.cli import export as module
from mmseg_deeplabv3x.cli.export import export_model
from mmseg_deeplabv3x.inference.exported_segmentor import Runtime

pytest.importorskip('onnxscript', reason='exports need the extra deploy')


def test_it_says_how_the_file_compares(trained, tmp_path, capsys):
    path = tmp_path / 'model.onnx'
    flags = ['--argmax', '--normalise-inside', '--output-stride', '16']
    export_model([*trained, '--to', 'onnx', '-o', str(path), *flags])
    said = capsys.readouterr().out
    assert "3 inputs, of the config's test images" in said
    assert 'onnxruntime' in said and 'equal pixels: ' in said
    assert said.endswith(f'Done: {path}\n')
    classes = Runtime(path)(np.zeros((1, 3, 72, 96), np.uint8))
    assert classes.shape == (1, 72, 96) and classes.dtype == np.int64


def test_a_file_that_gives_something_else_is_not_kept(trained, tmp_path, monkeypatch):
    path = tmp_path / 'model.onnx'

    def other(network, path, *_):
        path.touch()

    monkeypatch.setattr(module, 'export', other)
    monkeypatch.setattr(module, 'Runtime', lambda path: Constant())
    with pytest.raises(SystemExit, match='is not written: only .* of the pixels are as in PyTorch'):
        export_model([*trained, '--to', 'onnx', '-o', str(path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('output', ['logits', 'probabilities'])
def test_one_channel_is_compared_at_the_models_threshold(output):
    model = SimpleNamespace(out_channels=1, decode_head=SimpleNamespace(threshold=0.3))
    reference = SimpleNamespace(output=output, model=model)
    of_1 = np.array([0.2, 0.4, 0.6]).reshape(1, 1, 1, 3)
    scores = np.log(of_1 / (1 - of_1))
    if output == 'probabilities':
        scores = np.concatenate([1 - of_1, of_1], 1)
    assert module._classes(reference, scores).ravel().tolist() == [False, True, True]


def test_a_folder_of_videos_alone_is_named(trained, tmp_path):
    (tmp_path / 'clip.mp4').touch()
    line = [*trained, '--to', 'onnx', '-o', str(tmp_path / 'model.onnx')]
    with pytest.raises(SystemExit, match='--images: .* has videos alone'):
        export_model([*line, '--images', str(tmp_path)])


def test_an_export_that_is_there_is_not_replaced(trained, tmp_path):
    path = tmp_path / 'model.onnx'
    path.write_text('another')
    with pytest.raises(SystemExit, match='model.onnx is there already'):
        export_model([*trained, '--to', 'onnx', '-o', str(path)])
    assert path.read_text() == 'another'
    path.rename(tmp_path / 'model.bin')
    with pytest.raises(SystemExit, match='model.bin is there already'):
        export_model([*trained, '--to', 'openvino', '-o', str(tmp_path / 'model.xml')])


class Constant:
    """A runtime that always answers with the last class."""

    name = 'constant'

    def __call__(self, image):
        scores = np.zeros((len(image), 9, *image.shape[2:]), np.float32)
        scores[:, 8] = 1
        return scores
