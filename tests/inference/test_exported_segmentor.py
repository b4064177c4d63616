"""An exported file is evaluated as the model is that it was made of."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_deeplabv3x.cli.runner import build_runner
from mmseg_deeplabv3x.cli.test import test_config as config_of
from mmseg_deeplabv3x.cli.test import test_parser as parser
from mmseg_deeplabv3x.inference import DeepLabV3Predictor
from mmseg_deeplabv3x.inference.export import ExportableSegmentor, export, metadata_of
from mmseg_deeplabv3x.inference.loading import load

onnx = pytest.importorskip('onnx', reason='exports need the extra deploy')


def scores(folder, *argv):
    args = parser().parse_args([*argv, '--work-dir', str(folder)])
    return build_runner(config_of(args), args, training=False).test()


@pytest.fixture(scope='module')
def of_the_model(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp('scores')
    return {tta: scores(folder / tta, *trained, *tta.split()) for tta in ('', '--tta')}


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
@pytest.mark.parametrize('tta', ['', '--tta'])
def test_its_scores_are_the_models(trained, of_the_model, exported_onnx, tmp_path, runtime, tta):
    found = scores(tmp_path, trained[0], exported_onnx, '--runtime', runtime, *tta.split())
    expected = of_the_model[tta]
    assert found['mIoU'] == pytest.approx(expected['mIoU'], abs=0.02)
    assert found['mIoU'] > 0 and found.keys() == expected.keys()
    assert of_the_model['']['mIoU'] != of_the_model['--tta']['mIoU']


def test_other_classes_than_the_datas_are_refused(trained, exported_onnx, tmp_path):
    names = '[dot,background,raft,roof,ring,buoy,flag,bar,star]'
    other = f'test_dataloader.dataset.metainfo.classes={names}'
    with pytest.raises(ValueError, match="classes of .*model.onnx .* 0 is 'background', not"):
        scores(tmp_path, trained[0], exported_onnx, '--cfg-options', other)


def test_flags_that_need_the_model_itself_are_refused(trained, exported_onnx, tmp_path):
    with pytest.raises(ValueError, match='output_stride of 8 needs .* is ExportedSegmentor'):
        scores(tmp_path, trained[0], exported_onnx, '--output-stride', '8')
    with pytest.raises(ValueError, match='ExportedSegmentor has none'):
        scores(tmp_path, trained[0], exported_onnx, '--fast')


@pytest.mark.parametrize('name, value', [('align_corners', None), ('threshold', '0.5')])
def test_a_file_that_an_earlier_version_wrote_still_predicts(exported_onnx, tmp_path, name, value):
    """Without align_corners, or with a threshold that a head of many channels ignores."""
    model = onnx.load(exported_onnx)
    [prop] = [prop for prop in model.metadata_props if prop.key == name]
    if value is None:
        model.metadata_props.remove(prop)
    else:
        prop.value = value
    onnx.save(model, tmp_path / 'old.onnx')
    image = np.zeros((65, 131, 3), np.uint8)
    old, new = (
        DeepLabV3Predictor(checkpoint=file, device='cpu')(image).mask
        for file in (tmp_path / 'old.onnx', exported_onnx)
    )
    assert np.array_equal(old, new)


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_threads_share_a_file(exported_onnx, runtime):
    predictor = DeepLabV3Predictor(checkpoint=exported_onnx, device='cpu', runtime=runtime)
    images = np.random.default_rng(0).integers(0, 256, (24, 65, 131, 3), np.uint8)
    expected = [predictor(image).mask for image in images]
    with ThreadPoolExecutor(4) as pool:
        for mask, result in zip(expected, pool.map(predictor, images)):
            assert np.array_equal(result.mask, mask)


def test_what_a_file_cannot_give_is_refused(exported_onnx):
    with pytest.raises(ValueError, match="has its own precision, but got 'bf16'"):
        DeepLabV3Predictor(checkpoint=exported_onnx, device='cpu', precision='bf16')


def test_a_top_level_preprocessor_does_not_reach_it(trained, exported_onnx, tmp_path):
    mean = 'data_preprocessor.mean=[0,0,0]'
    normalised = 'data_preprocessor.type=SegDataPreProcessor'
    plain = scores(tmp_path / 'a', trained[0], exported_onnx)
    found = scores(tmp_path / 'b', trained[0], exported_onnx, '--cfg-options', mean, normalised)
    assert found == plain and torch.tensor(list(found.values())).isfinite().any()


@pytest.fixture(scope='module')
def of_one_channel(trained, tmp_path_factory):
    """A model with a sigmoid: everywhere a probability of 0.4, cut at 0.3."""
    cfg = Config.fromfile(trained[0])
    cfg.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.3)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    cfg.test_dataloader.dataset.metainfo = dict(classes=['no', 'yes'], palette=[[0] * 3, [9] * 3])
    state = torch.load(trained[1])['state_dict']
    state['decode_head.conv_seg.weight'] = 0 * state['decode_head.conv_seg.weight'][:1]
    state['decode_head.conv_seg.bias'] = torch.tensor([0.4]).logit()
    checkpoint = tmp_path_factory.mktemp('sigmoid') / 'model.pth'
    torch.save(dict(state_dict=state), checkpoint)
    return cfg, str(checkpoint)


@pytest.mark.parametrize('output', ['logits', 'probabilities', 'classes'])
def test_one_channel_is_cut_at_the_models_threshold(of_one_channel, tmp_path, output):
    loaded = load(*of_one_channel, 'cpu')
    network = ExportableSegmentor(loaded.model, output)
    metadata = metadata_of(network, loaded.classes, loaded.palette)
    file = tmp_path / 'model.onnx'
    export(network, file, 'onnx', torch.zeros(1, 3, 65, 131), False, metadata)
    image = np.random.default_rng(0).integers(0, 256, (65, 131, 3), np.uint8)
    own = DeepLabV3Predictor(*of_one_channel, device='cpu', fast=False, probabilities=True)(image)
    assert np.allclose(own.probabilities[1], 0.4) and (own.mask == 1).all()
    found = DeepLabV3Predictor(
        checkpoint=str(file), device='cpu', probabilities=output != 'classes'
    )(image)
    assert (found.mask == 1).all()
    if output != 'classes':
        assert np.allclose(found.probabilities, own.probabilities, atol=1e-5)
