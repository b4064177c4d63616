"""An exported file gives what mmseg's own evaluation of the model gives, at any size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_deeplabv3x.inference.export import (
    FORMATS,
    ExportableSegmentor,
    export,
    metadata_of,
)
from mmseg_deeplabv3x.inference.exported_segmentor import ExportedSegmentor, Runtime
from mmseg_deeplabv3x.inference.loading import load
from mmseg_deeplabv3x.inference.predictor import DeepLabV3Predictor

SIZES = [(2, 72, 96), (1, 65, 131), (3, 33, 40)]


@pytest.fixture(scope='module')
def loaded(trained):
    return load(*trained, 'cpu')


def images(count, height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, height, width, generator=generator)


def logits_of(model, image):
    """What mmseg makes of normalised images."""
    with torch.no_grad():
        metas = [dict(img_shape=image.shape[2:])] * len(image)
        return model.encode_decode(image, metas)


def test_the_module_is_the_models_own_evaluation(loaded):
    for size in SIZES:
        image = images(*size)
        expected = logits_of(loaded.model, image)
        with torch.no_grad():
            for output, value in dict(
                logits=expected, probabilities=expected.softmax(1), classes=expected.argmax(1)
            ).items():
                found = ExportableSegmentor(loaded.model, output)(image)
                assert torch.equal(found, value)


def test_the_network_alone_would_give_other_classes(loaded):
    image = images(1, 72, 96)
    with torch.no_grad():
        alone = torch.nn.functional.interpolate(
            loaded.model(image, mode='tensor'), (72, 96), mode='bilinear', align_corners=True
        )
    assert (alone.argmax(1) != logits_of(loaded.model, image).argmax(1)).float().mean() > 0.001


def test_normalised_inside(loaded):
    rgb = torch.randint(256, (1, 3, 40, 50), dtype=torch.uint8)
    inputs = loaded.model.data_preprocessor(dict(inputs=[rgb[0].flip(0)], data_samples=[]), False)[
        'inputs'
    ]
    with torch.no_grad():
        found = ExportableSegmentor(loaded.model, normalise_inside=True)(rgb)
        torch.testing.assert_close(found, logits_of(loaded.model, inputs))


SLOW = pytest.mark.slow  # an export takes some ten seconds


@pytest.fixture(
    scope='module',
    params=['onnx', pytest.param('openvino', marks=SLOW), pytest.param('pt2', marks=SLOW)],
)
def exported(request, loaded, tmp_path_factory):
    """Path of a file for any size."""
    if request.param == 'onnx':
        return Path(request.getfixturevalue('exported_onnx'))
    if request.param == 'openvino':
        pytest.importorskip('onnxscript', reason='exports need the extra deploy')
    path = tmp_path_factory.mktemp('exported') / f'model{FORMATS[request.param]}'
    network = ExportableSegmentor(loaded.model)
    metadata = metadata_of(network, loaded.classes, loaded.palette)
    export(network, path, request.param, images(*SIZES[1]), True, metadata)
    return path


def test_a_file_gives_the_same_logits_at_every_size(exported, loaded):
    runtimes = ['onnxruntime', 'openvino'] if exported.suffix == '.onnx' else [None]
    for name in runtimes:
        network = Runtime(exported, name)
        for size in SIZES:
            image = images(*size)
            expected = logits_of(loaded.model, image).numpy()
            error = np.abs(network(image.numpy()) - expected).max() / np.abs(expected).max()
            assert error < 1e-5


def test_a_threshold_is_of_one_channel_alone(loaded, monkeypatch):
    monkeypatch.setattr(loaded.model.decode_head, 'threshold', 0.5)
    network = ExportableSegmentor(loaded.model)
    assert metadata_of(network, loaded.classes, loaded.palette)['threshold'] == 'null'


def test_a_file_says_what_it_holds(exported, loaded):
    meta = Runtime(exported).metadata
    assert tuple(json.loads(meta['classes'])) == loaded.classes
    assert json.loads(meta['palette']) == loaded.palette
    np.testing.assert_allclose(json.loads(meta['mean']), [123.675, 116.28, 103.53], rtol=1e-6)
    assert meta['channel_order'] == 'rgb' and meta['output'] == 'logits'


def test_it_is_one_file_but_for_openvinos_weights(exported):
    others = {'.xml': ['model.bin']}.get(exported.suffix, [])
    assert sorted(p.name for p in exported.parent.iterdir()) == sorted([exported.name, *others])


def test_the_predictor_takes_a_file_without_a_config(exported, trained):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 65, 3), np.uint8)
    of_file = DeepLabV3Predictor(checkpoint=exported, device='cpu', probabilities=True)(rgb)
    of_model = DeepLabV3Predictor(*trained, device='cpu', fast=False, probabilities=True)(rgb)
    assert (of_file.mask == of_model.mask).mean() > 0.999
    np.testing.assert_allclose(of_file.probabilities, of_model.probabilities, atol=1e-5)
    assert of_file.classes == of_model.classes


def test_an_exported_file_stands_for_a_model_but_is_not_trained(exported):
    model = MODELS.build(dict(type='ExportedSegmentor', file=str(exported)))
    assert isinstance(model, ExportedSegmentor)
    with pytest.raises(ValueError, match="only predicts, but mode 'loss'"):
        model(images(1, 33, 33), mode='loss')


def test_a_file_of_another_suffix_is_refused(loaded, tmp_path):
    with pytest.raises(ValueError, match=r'ends in \.onnx, but got model.xml'):
        export(
            ExportableSegmentor(loaded.model),
            tmp_path / 'model.xml',
            'onnx',
            images(1, 9, 9),
            0,
            {},
        )


@pytest.mark.parametrize(
    'name,runtime,message',
    [
        ('none.onnx', None, "There is no exported file '.*none.onnx'"),
        ('model.onnx', 'torch', 'model.onnx is not read by torch'),
        ('model.bin', None, 'model.bin is not read by any runtime'),
    ],
)
def test_what_no_runtime_reads_is_named(tmp_path, name, runtime, message):
    if not name.startswith('none'):
        (tmp_path / name).touch()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Runtime(tmp_path / name, runtime)


def test_a_broken_file_and_another_size_are_one_sentence(loaded, tmp_path):
    (tmp_path / 'broken.onnx').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'broken.onnx is not read by onnxruntime: [^\n]*$'):
        Runtime(tmp_path / 'broken.onnx', 'onnxruntime')
    path = tmp_path / 'model.pt2'
    export(ExportableSegmentor(loaded.model), path, 'pt2', images(1, 33, 40), False, {})
    with pytest.raises(ValueError, match=r'model.pt2 does not take float32 \(1, 3, 40, 33\)'):
        Runtime(path)(images(1, 40, 33).numpy())


def test_a_runtime_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    (tmp_path / 'model.onnx').touch()
    with pytest.raises(
        ValueError, match=r'model.onnx needs onnxruntime, which is not installed: pip .*deploy'
    ):
        Runtime(tmp_path / 'model.onnx')


def test_other_models_are_refused():
    with pytest.raises(ValueError, match='An EncoderDecoder, such as DeepLabV3, .* is a Linear'):
        ExportableSegmentor(torch.nn.Linear(1, 1))
    head = dict(type='DAHead', in_channels=512, channels=8, pam_channels=4, num_classes=5)
    backbone = dict(type='AtrousResNet', depth=18)
    model = MODELS.build(dict(type='DeepLabV3', backbone=backbone, decode_head=head))
    with pytest.raises(ValueError, match='DAHead predicts not by its logits alone: it cannot be'):
        ExportableSegmentor(model)
