"""Checkpoints that fit in part, under stock models and ours."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmseg.registry import MODELS

from mmseg_deeplabv3x.cli import test as cli_test
from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.engine.hooks.checked_load_hook import CheckedLoadHook

SHAPES = ('background', 'a', 'b')
BACKBONE = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='BN'))
HEAD = dict(type='FCNHead', in_channels=64, channels=8, num_classes=3, norm_cfg=dict(type='BN'))
STOCK = dict(type='EncoderDecoder', backbone=BACKBONE, decode_head=HEAD, test_cfg={})
OURS = dict(STOCK, type='DeepLabV3', backbone=dict(type='AtrousResNet', depth=18, base_channels=8))


def build(cfg, seed=0, **backbone):
    torch.manual_seed(seed)
    cfg = copy.deepcopy(cfg)
    cfg['backbone'].update(backbone)
    return MODELS.build(cfg)


def without(state, start):
    return {key: value for key, value in state.items() if not key.startswith(start)}


def loaded(model, checkpoint, training=False, resume=False, other_classes=False, classes=SHAPES):
    """Load as mmengine does; gives the state dict and the lines of the log."""
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    runner = SimpleNamespace(
        model=model,
        _load_from='some/w.pth',
        _resume=resume,
        train_dataloader=loader,
        test_dataloader=loader,
    )
    CheckedLoadHook(training, other_classes).after_load_checkpoint(runner, checkpoint)
    _load_checkpoint_to_model(model, checkpoint)
    return model.state_dict()


def test_a_users_model_with_a_dataset_meta_is_no_exported_file():
    model = build(STOCK)
    model.dataset_meta = dict(classes=('other',))
    CheckedLoadHook(training=False).before_run(SimpleNamespace(model=model))


@pytest.fixture
def lines():
    """What the log says."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize('cfg', [STOCK, OURS], ids=['stock', 'ours'])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: dict(state_dict=state),
        lambda state: state,
        lambda state: dict(model=state, epoch=3),
        lambda state: dict(state_dict={f'module.{key}': value for key, value in state.items()}),
    ],
    ids=['mmengine', 'bare', 'model', 'parallel'],
)
@pytest.mark.parametrize('training', [True, False])
def test_what_fits_loads_whole_and_without_a_word(cfg, wrap, training, lines, capsys):
    state = build(cfg, seed=1).state_dict()
    checkpoint = wrap(dict(state))
    assert equal(loaded(build(cfg), checkpoint, training), state)
    assert not [line for line in lines if 'not in' in line] and not capsys.readouterr().out


@pytest.mark.parametrize('cfg', [STOCK, OURS], ids=['stock', 'ours'])
@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize(
    'spoil',
    [
        lambda state: {f'x.{key}': value for key, value in state.items()},
        lambda state: without(state, 'decode_head'),
        lambda state: without(state, 'backbone'),
        lambda state: without(state, 'decode_head.conv_seg.bias'),
        lambda state: state | {'decode_head.convs.0.conv.weight': torch.zeros(1, 2, 3, 3)},
        lambda state: without(state, ('backbone.layer3.1', 'backbone.layer4.1')),
    ],
    ids=['nothing', 'backbone', 'head', 'bias', 'shape', 'shallower'],
)
def test_what_does_not_fit_is_not_evaluated_and_not_resumed(cfg, spoil, resume):
    model = build(cfg)
    checkpoint = dict(state_dict=spoil(dict(model.state_dict())))
    with pytest.raises(ValueError, match=r'^some/w\.pth[^\n]*\.$'):
        loaded(model, checkpoint, training=resume, resume=resume)


@pytest.mark.parametrize('cfg', [STOCK, OURS], ids=['stock', 'ours'])
@pytest.mark.parametrize(
    'change,message',
    [
        (
            lambda s: s | {'auxiliary_head.conv_seg.bias': torch.zeros(3)},
            'bias is not in the model',
        ),
        (
            lambda s: {k: s[k] for k in s if 'layer4.0.bn1.num' not in k},
            'batches_tracked is missing',
        ),
    ],
)
def test_a_run_is_resumed_with_exactly_its_own_model(cfg, change, message):
    state = dict(build(cfg).state_dict())
    with pytest.raises(ValueError, match=message):
        loaded(build(cfg), dict(state_dict=change(state)), training=True, resume=True)
    loaded(build(cfg), dict(state_dict=change(state)), training=True)  # to start from, it is good


def test_an_evaluation_needs_no_auxiliary_head_and_a_resumed_run_does():
    cfg = dict(STOCK, auxiliary_head=dict(HEAD, in_index=2, in_channels=32))
    state = without(build(cfg, seed=1).state_dict(), 'auxiliary_head')
    found = loaded(build(cfg), dict(state_dict=dict(state)))
    assert equal(without(found, 'auxiliary_head'), state)
    with pytest.raises(ValueError, match='auxiliary_head.conv_seg.weight is missing'):
        loaded(build(cfg), dict(state_dict=dict(state)), training=True, resume=True)


def test_a_training_starts_from_a_backbone_and_says_what_was_loaded(lines, capsys):
    other = build(STOCK, seed=1).state_dict()
    state = without(other, 'decode_head.convs') | {'fc.bias': torch.zeros(1)}
    state['decode_head.conv_seg.bias'] = torch.zeros(5)
    model = build(STOCK)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = loaded(model, dict(state_dict=dict(state)), training=True)
    for key in found:
        kept = key.startswith('decode_head.convs') or key == 'decode_head.conv_seg.bias'
        assert torch.equal(found[key], (before if kept else other)[key]), key
    (line,) = [line for line in lines if line.startswith('Weights')]
    tensors = [key for key in found if not key.endswith('num_batches_tracked')]
    lost = len([key for key in tensors if 'decode_head.convs' in key]) + 1
    counted = len(found) - 2  # of the two units of the head, whose counts no line tells
    assert line.startswith(f'Weights: loaded {counted - lost} of {counted} tensors of some/w.pth; ')
    assert 'not in the file: decode_head.convs.0.conv.weight, ' in line
    assert line.endswith(
        '; of another shape: decode_head.conv_seg.bias; not in the model: fc.bias.'
    )
    assert not capsys.readouterr().out, "mmengine's own list"


@pytest.mark.parametrize('cfg', [STOCK, OURS], ids=['stock', 'ours'])
@pytest.mark.parametrize(
    'start', ['backbone', ('backbone.layer2', 'backbone.layer3', 'backbone.layer4')]
)
def test_a_training_does_not_start_from_a_random_backbone(cfg, start):
    state = without(build(cfg).state_dict(), start)
    with pytest.raises(ValueError, match=r'^some/w\.pth[^\n]*\.$'):
        loaded(build(cfg), dict(state_dict=state), training=True)


def initialised(path, prefix=None, **backbone):
    """A model whose backbone has an init_cfg, initialised under the hook."""
    model = build(STOCK, init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    CheckedLoadHook(training=True).before_run(SimpleNamespace(model=model))
    model.init_weights()
    return model.backbone.state_dict()


def test_init_cfg_of_a_stock_backbone(tmp_path, lines, capsys):
    state, path = build(STOCK, seed=1).backbone.state_dict(), tmp_path / 'backbone.pth'
    for wrapped in (state, dict(model=state), dict(model_ema=state)):
        torch.save(wrapped, path)
        assert equal(initialised(path), state)
    torch.save({f'backbone.{key}': value for key, value in state.items()}, path)
    assert equal(initialised(path, prefix='backbone.'), state)
    assert not [line for line in lines if 'Weights' in line]
    torch.save(state | {'fc.weight': torch.zeros(1)}, path)
    assert equal(initialised(path), state)
    (line,) = [line for line in lines if line.startswith('Weights')]
    assert line.endswith(f' of {path}; not in the model: fc.weight.')
    assert 'do not match' not in ''.join(lines) + capsys.readouterr().out


@pytest.mark.parametrize('prefix', ['teacher.', 'encoder.', 'backbone.'])
def test_init_cfg_of_which_nothing_fits_is_refused(tmp_path, prefix):
    state, path = build(STOCK).backbone.state_dict(), tmp_path / 'backbone.pth'
    torch.save({prefix + key: value for key, value in state.items()}, path)
    text = rf'^{path} does not fit: it has 0 of the 60 weights of the backbone \(conv1'
    with pytest.raises(ValueError, match=text):
        initialised(path)


@pytest.mark.parametrize('cfg', [STOCK, OURS], ids=['stock', 'ours'])
def test_the_average_of_emahook_starts_from_the_same_weights(cfg):
    state = build(cfg, seed=1).state_dict()
    model, hook = build(cfg), EMAHook()
    checkpoint = dict(model=dict(state))
    runner = SimpleNamespace(model=model, _load_from='w.pth', _resume=False)
    runner.train_dataloader = SimpleNamespace(dataset=None)
    hook.before_run(runner)
    CheckedLoadHook(training=True).after_load_checkpoint(runner, checkpoint)
    hook.after_load_checkpoint(runner, checkpoint)
    assert equal(hook.ema_model.module.state_dict(), state)


def of_classes(classes, old=False, **model):
    state = dict(build(dict(STOCK, **model)).state_dict())
    meta = dict(CLASSES=classes) if old else dict(dataset_meta=dict(classes=list(classes)))
    return dict(state_dict=state, meta=meta)


@pytest.mark.parametrize('old', [False, True], ids=['1.x', '0.x'])
@pytest.mark.parametrize('training, resume', [(False, False), (True, True), (True, False)])
def test_classes_in_another_order_are_refused(old, training, resume):
    checkpoint = of_classes(('background', 'b', 'a'), old)
    text = r"^The classes of some/w.pth are not the data's: 1 is 'b', not 'a', 2 is 'a', not 'b'\. "
    with pytest.raises(ValueError, match=text):
        loaded(build(STOCK), dict(checkpoint), training, resume)
    loaded(build(STOCK), checkpoint, training, resume, other_classes=True)
    loaded(build(STOCK), of_classes(SHAPES, old), training, resume)
    loaded(build(STOCK), of_classes(SHAPES), training, resume, classes=None)


def test_other_classes_are_fine_to_start_a_training_from():
    checkpoint = of_classes(('background', 'b', 'a'))
    checkpoint['state_dict'] = dict(build(OURS, seed=1).state_dict())
    model = build(dict(OURS, new_classifier=True))
    before = model.decode_head.conv_seg.weight.clone()
    loaded(model, checkpoint, training=True)
    # as many classes, but the old classifier knows others
    assert torch.equal(model.decode_head.conv_seg.weight, before)
    more = of_classes(('background', 'x', 'y', 'z'), decode_head=dict(HEAD, num_classes=4))
    loaded(build(STOCK), copy.deepcopy(more), training=True)
    with pytest.raises(ValueError, match="^The classes of .* 1 is 'x', not 'a'"):
        loaded(build(STOCK), more)


def test_the_commands_hold_it(tiny_config, trained, tmp_path):
    cfg = Config.fromfile(tiny_config('checked_load'))
    content = torch.load(trained[1], weights_only=True)
    classes = content['meta']['dataset_meta']['classes']
    bad = {
        'bare': (
            dict(state_dict={'x': torch.zeros(1)}),
            'bare.pth: .*of no network that is known: it has x ',
        ),
        'other': (
            dict(content, meta=dict(CLASSES=classes[::-1])),
            "classes of .* are not the data's",
        ),
    }
    for name, (checkpoint, text) in bad.items():
        torch.save(checkpoint, tmp_path / f'{name}.pth')
        line = ['--work-dir', str(tmp_path / name), '--cfg-options']
        with pytest.raises(SystemExit, match=text):
            cli_test.test(
                [cfg.filename, str(tmp_path / f'{name}.pth'), *line, f'visualizer.name=t{name}']
            )
        with pytest.raises(SystemExit, match=text):
            options = [f'visualizer.name=r{name}', f'load_from={tmp_path}/{name}.pth']
            cli_train.train([cfg.filename, *line, *options])
