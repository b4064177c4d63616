from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mmseg_deeplabv3x.datasets.voc_masks import voc_colours
from mmseg_deeplabv3x.inference.loading import load, parse_config, read, set_output_stride


@pytest.mark.parametrize(
    'own, trained',
    [({}, 16), (dict(output_stride=32), 32), (dict(output_stride=dict(train=32, test=16)), 32)],
)
@pytest.mark.parametrize('wrap', [lambda model: model, lambda model: ConfigDict(module=model)])
def test_the_output_stride_of_the_training_stays(own, trained, wrap):
    model = ConfigDict(type='DeepLabV3', **own)
    set_output_stride(wrap(model), 8)
    assert model.output_stride == dict(train=trained, test=8)


@pytest.mark.parametrize('kind', ['EncoderDecoder', 'NoSuchModel'])
def test_a_model_without_output_stride_is_named(kind):
    with pytest.raises(ValueError, match=f'output_stride of 8 needs .* DeepLabV3, .* is {kind}'):
        set_output_stride(ConfigDict(type=kind), 8)


def test_a_config_that_is_given_stays_as_it_is(trained):
    cfg = Config.fromfile(trained[0])
    before = copy.deepcopy(cfg.to_dict())
    assert load(cfg, trained[1], 'cpu', output_stride=32).model.output_strides['test'] == 32
    assert cfg.to_dict() == before


def test_other_classes_than_the_datasets_get_colours_of_their_own(trained, tmp_path):
    torch.save(torch.load(trained[1])['state_dict'], tmp_path / 'bare.pth')
    cfg = Config.fromfile(trained[0])
    for names in (['a', 'b'], [f'thing {i}' for i in range(300)]):
        cfg.test_dataloader.dataset.metainfo = dict(classes=names)
        loaded = load(cfg, str(tmp_path / 'bare.pth'), 'cpu')
        assert loaded.classes == tuple(names)
        assert loaded.palette == [list(colour) for colour in voc_colours(len(names))]


def test_what_a_config_starts_from_is_not_fetched(trained):
    cfg = Config.fromfile(trained[0])
    cfg.model.init_cfg = [dict(type='mmengine.Pretrained', checkpoint='nowhere.pth')]
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='nowhere.pth')
    cfg.model.pretrained = 'nowhere.pth'
    load(cfg, trained[1], 'cpu')


def test_a_device_that_is_not_there_is_named(trained):
    with pytest.raises(ValueError, match="no device 'cuda:77' here"):
        load(*trained, 'cuda:77')


def test_an_exported_file_takes_the_pipeline_of_a_config_and_its_views(trained, exported_onnx):
    cfg = Config.fromfile(trained[0])
    found, content = read(trained[0], exported_onnx)
    assert content == {} and found.model.file == exported_onnx
    assert found.test_dataloader == cfg.test_dataloader
    cfg.model = dict(type='RunningMeanTTAModel', module=cfg.model)
    found, _ = read(cfg, exported_onnx)
    assert found.model.type == 'RunningMeanTTAModel' and found.model.module.file == exported_onnx


def test_a_runtime_is_for_exported_files(trained):
    with pytest.raises(ValueError, match=r'onnxruntime runs files .*\.onnx.* but got .*\.pth'):
        read(*trained, 'onnxruntime')


# ---- the config in a checkpoint, parsed as data


DATA = dict(
    a=1,
    b=-2.5,
    c='it\'s "quoted"\n',
    d=[1, (2, 3), ()],
    e={'with-dash': None, 'x': True},
    f=dict(g=dict(h=[dict(type='A')])),
    i=float('inf'),
    j=-float('inf'),
)


def test_what_mmengine_writes_is_read_back():
    assert parse_config(Config(DATA).pretty_text).to_dict() == DATA


def test_a_whole_config_is_read_back(trained):
    cfg = Config.fromfile(trained[0])
    assert parse_config(cfg.pretty_text).to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "a = __import__('os').getcwd()",
        'a = [x for x in range(3)]',
        'a = open("x")',
        'a = dict(**b)',
        'a.b = 1',
        'a = lambda: 1',
        'a = b',
        'print(1)',
    ],
)
def test_a_program_is_refused(text):
    with pytest.raises(ValueError, match='not plain data: give the config file'):
        parse_config(text)


def test_what_is_no_python_is_refused():
    with pytest.raises(ValueError, match='cannot be parsed'):
        parse_config('a = (')


def test_a_checkpoint_without_a_tensor_is_refused(trained, tmp_path):
    torch.save({}, tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='empty.pth'):
        load(trained[0], str(tmp_path / 'empty.pth'), 'cpu')
