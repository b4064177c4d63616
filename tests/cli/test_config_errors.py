import pytest
from mmengine.config import Config
from mmseg.registry import HOOKS, MODELS

from mmseg_deeplabv3x.cli.config_errors import check_numbers, check_spelling, explain_start_error

CFG = dict(
    train_dataloader={},
    test_dataloader={},
    model=dict(type='DeepLabV3', test_cfg=dict(mode='whole')),
    custom_hooks=[dict(settings=dict(interval=1))],
)


@pytest.mark.parametrize('option, wrong, meant', [
    ('train_datloader.batch_size', 'train_datloader', 'train_dataloader'),
    ('modle.output_stride', 'modle', 'model'),
    ('load_form', 'load_form', 'load_from'),
    ('model.test_cfg.mod', 'model.test_cfg.mod', 'model.test_cfg.mode'),
    ('custom_hooks.0.settings.intervall', 'custom_hooks.0.settings.intervall',
     'custom_hooks.0.settings.interval'),
])  # fmt: skip
def test_a_setting_that_is_nearly_one_is_refused(option, wrong, meant):
    with pytest.raises(ValueError, match=f"has no '{wrong}'; '{meant}' is probably"):
        check_spelling(['model.backbone.depth', option], CFG)


@pytest.mark.parametrize('option', [
    'model.anything', 'model.typ', 'model.test_cfg.stride', 'model.test_cfg.mode',
    'val_dataloader.num_workers', 'load_from', 'resume', 'my_own_variable',
])  # fmt: skip
def test_settings_of_the_config_of_the_runner_and_others_pass(option):
    check_spelling([option], CFG)


def fault(registry, **cfg):
    with pytest.raises((KeyError, TypeError)) as error:
        registry.build(cfg)
    return explain_start_error(error.value)


def test_an_unknown_module_of_a_config():
    assert fault(MODELS, type='AtrousResnet') == (
        "There is no model 'AtrousResnet'; 'AtrousResNet' is probably meant."
    )
    assert "'CheckpointHook'" in fault(HOOKS, type='ChekpointHook')  # one of mmengine's
    assert 'custom_imports' in fault(MODELS, type='Zyx')


def test_an_unknown_argument_of_a_config():
    said = fault(MODELS, type='AtrousResNet', depth=18, output_strides=8)
    assert "'output_strides'" in said and 'AtrousResNet' in said


def test_others_are_not_about_a_config():
    for error in (KeyError('x'), KeyError(), TypeError('no len()'), KeyError(3)):
        assert explain_start_error(error) is None


def test_a_text_of_digits_is_fine_where_a_text_is_taken():
    hook = dict(type='CheckpointHook', filename_tmpl='1', interval=2)
    check_numbers(Config(dict(hook=hook, other=dict(type='Nowhere', number='1'))))
    with pytest.raises(ValueError, match="hook.interval is the text '1e3', is a number meant"):
        check_numbers(Config(dict(hook=dict(hook, interval='1e3'))))
