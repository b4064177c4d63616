import re
import shlex

import fit
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason='measures the memory of the CPU')
CROP = {
    'model.data_preprocessor.size': (65, 65),
    'model.data_preprocessor.size_divisor': None,
    'model.data_preprocessor.test_cfg': None,
}


@NO_GPU
@pytest.mark.slow
def test_measures_and_ends_with_a_command(tiny_config, capsys, monkeypatch):
    config = tiny_config('fit', CROP)
    monkeypatch.setattr(fit, 'ways', lambda cfg: {'as it is': [], 'AMP': ['--amp']})
    fit.main([config, '--memory', '30GiB', '--batches', '2', '4', '--steps', '1'])
    out = capsys.readouterr().out
    assert len(re.findall(r'batch +[24] +[\d.]+ GiB +[\d.]+ images/s', out)) == 4
    command = out.strip().splitlines()[-1]
    assert 'train_dataloader.batch_size=4' in command and '--auto-scale-lr' in command
    with pytest.raises(SystemExit, match='nothing fits'):
        fit.main([config, '--memory', '20MiB', '--batches', '2', '--steps', '1'])


def test_one_measurement_is_of_real_steps(tiny_config, monkeypatch):
    monkeypatch.setattr(fit.resource, 'setrlimit', lambda *_: None)  # of this process
    config = tiny_config('fit_one', CROP)
    small = fit.measure(config, 1, ['train_dataloader.batch_size=2'], 30 * fit.GIB)
    assert small['speed'] > 0 and small['memory'] > 50 * 2**20


def test_speed_is_of_the_steps_after_the_first_and_memory_is_the_peak(tiny_config, monkeypatch):
    monkeypatch.setattr(fit.resource, 'setrlimit', lambda *_: None)
    clock, wrappers = iter([10.0, 14.0]), []

    def build(*args):
        wrappers.append(build_optim_wrapper(*args))
        return wrappers[-1]

    monkeypatch.setattr(fit, '_now', lambda on_gpu: next(clock))
    monkeypatch.setattr(fit, 'build_optim_wrapper', build)
    for module, name in ((fit, '_peak'), (torch.cuda, 'max_memory_reserved')):
        monkeypatch.setattr(module, name, lambda: 123)
    flags = ['train_dataloader.batch_size=3']
    found = fit.measure(tiny_config('fit_clock', CROP), 2, flags, 30 * fit.GIB)
    assert found == dict(memory=123, speed=3 * 2 / 4)
    [wrapper] = wrappers
    assert wrapper._inner_count == 3


@pytest.mark.parametrize('head', ['ImagePoolASPPHead', 'ASPPHead'])
def test_bn_of_one_image_cannot_be_trained_and_is_no_error(tiny_config, monkeypatch, head):
    monkeypatch.setattr(fit.resource, 'setrlimit', lambda *_: None)
    changes = {'model.decode_head.type': head, 'model.decode_head.norm_cfg': dict(type='BN')}
    config = tiny_config(f'fit_one_{head}', CROP | changes)
    found = fit.measure(config, 1, ['train_dataloader.batch_size=1'], fit.GIB)
    assert list(found) == ['cannot'] and re.search('at least 2|more than 1', found['cannot'])


def test_no_memory_is_no_error_and_others_are(tiny_config, monkeypatch):
    monkeypatch.setattr(fit.resource, 'setrlimit', lambda *_: None)
    config, flags = tiny_config('fit_none', CROP), ['train_dataloader.batch_size=2']

    def fail(*_):
        raise kind(said)

    monkeypatch.setattr(fit, '_batch', fail)
    kind, said = RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory"
    assert fit.measure(config, 1, flags, fit.GIB) == {}
    said = 'shapes differ'
    for kind in (RuntimeError, ValueError):
        with pytest.raises(kind, match='shapes differ'):
            fit.measure(config, 1, flags, fit.GIB)


def test_ways_are_flags_that_the_config_takes(tiny_config):
    config = tiny_config('fit_ways', CROP)
    for name, flags in fit.ways(Config.fromfile(config)).items():
        amp = [flag for flag in flags if flag == '--amp']
        options = [flag for flag in flags if flag != '--amp']
        argv = [config, *amp, *(['--cfg-options', *options] if options else [])]
        cfg = fit.train_config(fit.train_parser().parse_args(argv))
        crop = cfg.train_dataloader.dataset.pipeline[2].crop_size
        assert tuple(crop) == cfg.model.data_preprocessor.size
        assert tuple(crop) == ((33, 33) if 'crop' in name else (65, 65))
        assert cfg.model.output_stride == dict(train=32 if '32' in name else 16, test=8)
        assert bool(cfg.model.backbone.get('with_cp')) == ('checkpointing' in name)


@pytest.mark.parametrize('text, size', [('11GiB', 11 * 2**30), ('1.5 gb', 1500000000)])
def test_memory_is_read(text, size):
    assert fit._memory(text) == size


def test_memory_without_a_unit_is_refused(tiny_config, capsys):
    with pytest.raises(SystemExit):
        fit.main([tiny_config('fit_unit'), '--memory', '11'])
    assert "11GiB or 800MiB, but got '11'" in capsys.readouterr().err


KINDS = dict(crop='crop_size', os32='output_stride', checkpointing='with_cp')


@pytest.fixture
def run(tiny_config, monkeypatch, capsys):
    """``run({'plain': 4}, ...)``: fit on a machine where so many images fit, and coarser is faster.

    Gives the kinds that were tried, and the words of the command at the end.
    """

    def run(largest, *argv, name):
        tried = []

        def pretend(config, steps, one):
            kinds = [kind for kind, word in KINDS.items() if any(word in f for f in one['flags'])]
            kind = kinds[0] if kinds else 'plain'
            tried.append(kind)
            batch = int(one['flags'][-1].partition('=')[2])
            if batch == 1:
                return dict(cannot='BN')
            fits = batch <= largest.get(kind, 0)
            return dict(memory=1, speed=len(one['flags'])) if fits else {}

        monkeypatch.setattr(fit, '_run', pretend)
        fit.main([tiny_config(name, CROP), '--memory', '8GiB', *argv])
        return set(tried), shlex.split(capsys.readouterr().out.splitlines()[-1])

    return run


def test_ways_that_cost_more_are_not_tried_where_milder_ones_do(run):
    tried, command = run(dict(plain=16), name='fit_plain')
    assert tried == {'plain'}
    assert command[:2] == ['python', 'tools/train.py']
    assert command[-2:] == ['--cfg-options', 'train_dataloader.batch_size=16']
    tried, command = run(dict(plain=2, checkpointing=8), name='fit_cp')
    assert tried == {'plain', 'checkpointing'}
    assert command[-2:] == ['model.backbone.with_cp=True', 'train_dataloader.batch_size=8']


def test_crop_and_output_stride_change_only_where_bn_has_few_images_else(run):
    fits = dict(plain=2, checkpointing=4, os32=8, crop=8)
    tried, command = run(fits, name='fit_last')
    assert tried == {'plain', *KINDS}
    assert command[-1] == 'train_dataloader.batch_size=8'
    fits = dict(fits, checkpointing=8, os32=16, crop=16)
    tried, command = run(fits, '--all', name='fit_all')
    assert tried == {'plain', *KINDS}
    assert command[-2:] == ['model.backbone.with_cp=True', 'train_dataloader.batch_size=8']


def test_where_one_image_cannot_more_are_tried(run):
    _, command = run(dict(plain=4), '--batches', *'124', name='fit_cannot')
    assert command[-1] == 'train_dataloader.batch_size=4'


@pytest.mark.parametrize(
    'batches, advice', [('1', '--batches 2, or a'), ('48', '--batches 2, or a'), ('124', 'a')]
)
def test_what_is_advised_where_nothing_fits(run, capsys, batches, advice):
    with pytest.raises(SystemExit, match=f'nothing fits: try {advice} smaller crop'):
        run({}, '--batches', *batches, name=f'fit_nothing_{batches}')
    # it is tried once, not in every way
    assert capsys.readouterr().out.count('cannot') == ('1' in batches)


def test_the_command_is_one_that_train_takes(run):
    options = ['--cfg-options', 'model.decode_head.channels=8', 'randomness.seed=3']
    _, command = run(dict(plain=2, crop=8), *options, name='fit_command')
    args = fit.train_parser().parse_args(command[2:])
    cfg = fit.train_config(args)
    assert args.amp and args.auto_scale_lr
    assert cfg.train_dataloader.batch_size == 8 and cfg.randomness.seed == 3
    assert cfg.model.decode_head.channels == 8
    assert cfg.train_dataloader.dataset.pipeline[2].crop_size == (33, 33)


@pytest.mark.parametrize('name', ['mmseg.DeepLabV3', 'mmseg_deeplabv3x.models.DeepLabV3'])
def test_deeplabv3_is_known_by_every_name(tiny_config, name):
    cfg = Config.fromfile(tiny_config(f'fit_{name}'.replace('.', '_'), CROP))
    assert any('output_stride' in way for way in fit.ways(cfg))
    cfg.model.type = name
    assert any('output_stride' in way for way in fit.ways(cfg))
    cfg.model.type = 'EncoderDecoder'
    assert not any('output_stride' in way for way in fit.ways(cfg))


def test_nothing_is_checkpointed_that_does_not_know_how(tiny_config):
    cfg = Config.fromfile(tiny_config('fit_any', CROP))
    inner = dict(type='MobileNetV2')
    cfg.model.backbone = dict(type='AtrousBackbone', backbone=inner)
    cfg.model.neck = dict(type='CascadeNeck', in_channels=64, num_blocks=1)
    assert fit.ways(cfg)['checkpointing'] == [
        'model.backbone.backbone.with_cp=True',
        'model.neck.with_cp=True',
    ]
    cfg.model.backbone.backbone = dict(type='TIMMBackbone', model_name='x', features_only=True)
    cfg.model.neck = None
    assert 'checkpointing' not in fit.ways(cfg)
