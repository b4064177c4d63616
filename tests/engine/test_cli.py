from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_deeplabv3x.engine import cli


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Path of a config file with what the command lines touch, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write(
        tmp_path / 'small.py',
        model=dict(type='EncoderDecoder'),
        optim_wrapper=dict(type='OptimWrapper'),
        test_dataloader=dict(dataset=dict(pipeline=['plain'])),
        test_evaluator=dict(type='IoUMetric'),
        sync_bn='torch',
        visualizer=dict(
            type='SegLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        ),
        default_hooks=dict(visualization=dict(type='SegVisualizationHook', interval=50)),
    )


def write(path, **cfg):
    Config(cfg).dump(path)
    return str(path)


def train_config(*argv):
    return cli.train_config(cli.train_parser().parse_args(argv))


def evaluation_config(*argv):
    return cli.test_config(cli.test_parser().parse_args(argv))


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({}, path)
    return str(path)


# ---------------------------------------------------------------- both tools


def test_work_dir_comes_from_the_command_line_the_config_or_its_name(tmp_path, config):
    assert train_config(config).work_dir == os.path.join('work_dirs', 'small')
    named = write(tmp_path / 'named.py', work_dir='of_config')
    assert train_config(named).work_dir == 'of_config'
    assert train_config(named, '--work-dir', 'of_line').work_dir == 'of_line'


def test_cfg_options_override_the_config(config):
    cfg = train_config(config, '--cfg-options', 'model.output_stride=8', 'model.rates=(6,12)')
    assert (cfg.model.output_stride, cfg.model.rates) == (8, (6, 12))
    assert cfg.model.type == 'EncoderDecoder'


# ---------------------------------------------------------------- training


@pytest.mark.parametrize(
    'of_config, argv, seed',
    [(None, [], 0), (7, [], 7), (7, ['--seed', '3'], 3), (7, ['--seed', '0'], 0)],
)
def test_there_is_always_a_seed(tmp_path, of_config, argv, seed):
    path = write(tmp_path / 'seeded.py', randomness=dict(seed=of_config, deterministic=True))
    assert train_config(path, *argv).randomness == dict(seed=seed, deterministic=True)
    path = write(tmp_path / 'plain.py', model={})
    assert train_config(path).randomness == dict(seed=0)


def test_amp_without_cuda_is_bfloat16(config, no_cuda):
    assert train_config(config, '--amp').optim_wrapper == dict(type='AutocastOptimWrapper')
    stock = ['optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=dynamic']
    cfg = train_config(config, '--amp', '--cfg-options', *stock)
    assert cfg.optim_wrapper == dict(type='AutocastOptimWrapper')


def test_amp_with_cuda_is_the_stock_wrapper(config, cuda):
    wrapper = train_config(config, '--amp').optim_wrapper
    assert wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')
    given = ['optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=512.0']
    wrapper = train_config(config, '--amp', '--cfg-options', *given).optim_wrapper
    assert wrapper == dict(type='AmpOptimWrapper', loss_scale=512.0)


def test_amp_refuses_a_wrapper_that_it_would_undo(config):
    with pytest.raises(ValueError, match='--amp .* optim_wrapper is ApexOptimWrapper'):
        train_config(config, '--amp', '--cfg-options', 'optim_wrapper.type=ApexOptimWrapper')


@pytest.fixture
def run(tmp_path):
    """A work dir as a run leaves it, with seed 5."""
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    for step in (2, 4):
        checkpoint = dict(meta=dict(iter=step, seed=5), state_dict={}, message_hub={})
        torch.save(checkpoint, work_dir / f'iter_{step}.pth')
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_4.pth'))
    return work_dir


def test_resume_takes_the_last_checkpoint_and_its_seed(config, run):
    cfg = train_config(config, '--resume', '--work-dir', str(run))
    assert (cfg.load_from, cfg.resume) == (str(run / 'iter_4.pth'), True)
    assert cfg.randomness.seed == 5
    cfg = train_config(config, '--resume', '--work-dir', str(run), '--seed', '6')
    assert cfg.randomness.seed == 6
    assert not train_config(config, '--work-dir', str(run)).resume


@pytest.mark.parametrize('original_is_there', [True, False])
def test_a_copied_work_dir_resumes_from_itself(tmp_path, config, run, original_is_there):
    copied = tmp_path / 'copied'
    shutil.copytree(run, copied)
    if not original_is_there:
        shutil.rmtree(run)
    cfg = train_config(config, '--resume', '--work-dir', str(copied))
    assert cfg.load_from == str(copied / 'iter_4.pth')


def test_resume_prefers_the_work_dir_to_the_configs_weights(config, run, checkpoint):
    path = write(Path(config).with_name('tuned.py'), load_from=checkpoint)
    assert train_config(path, '--resume', '--work-dir', str(run)).load_from == str(
        run / 'iter_4.pth'
    )
    fresh = train_config(path, '--resume', '--work-dir', 'empty')
    assert (fresh.load_from, fresh.resume) == (checkpoint, False)


def test_resume_from_a_checkpoint_named_on_the_command_line(config, run):
    named = str(run / 'iter_2.pth')
    cfg = train_config(
        config, '--resume', '--work-dir', str(run), '--cfg-options', f'load_from={named}'
    )
    assert (cfg.load_from, cfg.resume, cfg.randomness.seed) == (named, True, 5)


def test_resume_refuses_a_named_checkpoint_that_does_not_load(config, run):
    options = ['--cfg-options', f'load_from={run}/last_checkpoint']
    with pytest.raises(ValueError, match='last_checkpoint: the file is damaged'):
        train_config(config, '--resume', '--work-dir', str(run), *options)


def test_resume_passes_over_a_checkpoint_that_does_not_load(config, run):
    (run / 'iter_4.pth').write_bytes(b'')
    assert train_config(config, '--resume', '--work-dir', str(run)).load_from == str(
        run / 'iter_2.pth'
    )


# ---------------------------------------------------------------- testing


def test_the_checkpoint_is_loaded_and_nothing_is_resumed(tmp_path, config, checkpoint):
    cfg = evaluation_config(
        config, checkpoint, '--cfg-options', 'resume=True', 'load_from=other.pth'
    )
    assert (cfg.load_from, cfg.resume) == (checkpoint, False)
    assert not cfg.default_hooks.visualization.get('draw')


def test_show_dir_draws_every_image_into_that_folder(config, checkpoint):
    cfg = evaluation_config(config, checkpoint, '--show-dir', 'pictures')
    hook = cfg.default_hooks.visualization
    assert (hook.type, hook.draw, hook.interval, hook.show) == (
        'SegVisualizationHook',
        True,
        1,
        False,
    )
    others, local = cfg.visualizer.vis_backends
    assert others.type == 'TensorboardVisBackend'
    assert local == dict(type='LocalVisBackend', img_save_dir=os.path.abspath('pictures'))


def test_show_dir_leaves_no_other_folder_to_draw_into(config, checkpoint):
    ours = Config.fromfile(config)
    ours.visualizer.vis_backends = [dict(type='SafeLocalVisBackend')]
    cfg = evaluation_config(write('ours.py', **ours), checkpoint, '--show-dir', 'pictures')
    (only,) = cfg.visualizer.vis_backends
    assert only.img_save_dir == os.path.abspath('pictures')


def test_show_opens_windows(config, checkpoint):
    cfg = evaluation_config(config, checkpoint, '--show', '--wait-time', '0.5')
    hook = cfg.default_hooks.visualization
    assert (hook.draw, hook.interval, hook.show, hook.wait_time) == (True, 1, True, 0.5)


def test_show_dir_needs_no_hook_in_the_config(tmp_path, checkpoint):
    cfg = evaluation_config(
        write(tmp_path / 'bare.py', model={}), checkpoint, '--show-dir', 'pictures'
    )
    assert cfg.default_hooks.visualization.type == 'SegVisualizationHook'
    assert cfg.visualizer.type == 'SegLocalVisualizer'


def test_out_reaches_every_metric(tmp_path, config, checkpoint):
    cfg = evaluation_config(config, checkpoint, '--out', 'masks')
    assert cfg.test_evaluator == dict(type='IoUMetric', output_dir='masks', keep_results=True)
    two = write(tmp_path / 'two.py', test_evaluator=[dict(type='IoUMetric'), dict(type='Other')])
    assert [
        m.output_dir for m in evaluation_config(two, checkpoint, '--out', 'masks').test_evaluator
    ] == [
        'masks',
        'masks',
    ]


def test_fast_adds_the_hook_that_speeds_the_model_up(config, checkpoint):
    ours, own = dict(type='SpeedUpHook'), dict(type='EMAHook')
    assert 'custom_hooks' not in evaluation_config(config, checkpoint)
    assert evaluation_config(config, checkpoint, '--fast').custom_hooks == [ours]
    hooked = write(Path(config).with_name('hooked.py'), model={}, custom_hooks=[own])
    assert evaluation_config(hooked, checkpoint).custom_hooks == [own]
    assert evaluation_config(hooked, checkpoint, '--fast').custom_hooks == [own, ours]


def test_tta_wraps_the_model(tmp_path, config, checkpoint):
    extra = "tta_model = dict(type='SegTTAModel')\ntta_pipeline = ['augmented']\n"
    path = tmp_path / 'augmented.py'
    path.write_text(Path(config).read_text() + extra)
    cfg = evaluation_config(str(path), checkpoint, '--tta')
    assert cfg.model == dict(type='SegTTAModel', module=dict(type='EncoderDecoder'))
    assert cfg.test_dataloader.dataset.pipeline == ['augmented']


def test_the_views_are_those_of_the_command_line(tmp_path, checkpoint):
    resize = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    flips = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
    config = write(
        tmp_path / 'augmented.py',
        model=dict(type='DeepLabV3', output_stride=16),
        test_dataloader=dict(dataset=dict(pipeline=[])),
        tta_pipeline=[dict(type='TestTimeAug', transforms=[[resize], flips])],
    )

    def evaluated(*argv):
        cfg = evaluation_config(config, checkpoint, '--tta', *argv)
        (augment,) = cfg.test_dataloader.dataset.pipeline
        scales, flips = augment.transforms
        return [s['scale_factor'] for s in scales], [f['prob'] for f in flips]

    assert evaluated() == ([2.0], [0.0, 1.0])
    assert evaluated('--scales', '0.5', '1') == ([0.5, 1.0], [0.0, 1.0])
    assert evaluated('--no-flip') == ([2.0], [0.0])
    cfg = evaluation_config(config, checkpoint, '--tta', '--output-stride', '8')
    assert cfg.model.module.output_stride == dict(train=16, test=8)


@pytest.mark.parametrize('flags', [['--scales', '1.0'], ['--no-flip']])
def test_views_need_tta(config, checkpoint, flags, capsys):
    with pytest.raises(SystemExit):
        cli.test([config, checkpoint, *flags])
    assert '--scales and --no-flip choose the views of --tta: add --tta' in capsys.readouterr().err


def test_mmengines_logger_becomes_one_that_shows_the_time_per_image(tmp_path, checkpoint):
    def logger(**cfg):
        path = write(tmp_path / 'logging.py', model={}, **cfg)
        return evaluation_config(path, checkpoint).get('default_hooks', {}).get('logger')

    def of_config(logger):
        return dict(default_hooks=dict(timer=dict(type='IterTimerHook'), logger=logger))

    ours = dict(type='ProgressLoggerHook')
    assert logger() == ours
    assert logger(**of_config(dict(type='LoggerHook', interval=3))) == dict(ours, interval=3)
    assert logger(**of_config(dict(type='Other'))) == dict(type='Other')
    assert logger(**of_config(None)) is None


# ---------------------------------------------------------------- several processes


def test_without_cuda_ddp_gets_no_gpu_and_bn_stays(config, no_cuda):
    cfg = train_config(config, '--launcher', 'pytorch')
    assert cfg.model_wrapper_cfg == dict(broadcast_buffers=False, device_ids=None)
    assert cfg.sync_bn is None
    own = ['model_wrapper_cfg.find_unused_parameters=True']
    cfg = train_config(config, '--launcher', 'pytorch', '--cfg-options', *own)
    assert cfg.model_wrapper_cfg == dict(find_unused_parameters=True, device_ids=None)


def test_without_cuda_the_models_sync_bn_becomes_bn(config, no_cuda):
    norm = dict(type='SyncBN', requires_grad=True)
    parts = dict(backbone=dict(norm_cfg=norm), auxiliary_head=[dict(norm_cfg=norm)])
    with open(config, 'a') as file:
        file.write(f'\nmodel.update({parts!r})\n')
    cfg = train_config(config, '--launcher', 'pytorch')
    assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.auxiliary_head[0].norm_cfg.type == 'BN'
    assert train_config(config).model.backbone.norm_cfg.type == 'SyncBN'


def test_with_cuda_the_runner_does_as_ever(config, cuda):
    cfg = train_config(config, '--launcher', 'pytorch')
    assert 'model_wrapper_cfg' not in cfg
    assert cfg.sync_bn == 'torch'


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_without_cuda_only_torchrun_launches(no_cuda, launcher):
    with pytest.raises(ValueError, match=f'--launcher {launcher} needs CUDA.*dist_train.sh'):
        cli.init_process_group(launcher)


def test_launcher_pytorch_outside_torchrun_names_the_script(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(ValueError, match='no RANK in the environment: use tools/dist_train.sh'):
        cli.init_process_group('pytorch')


def test_one_process_needs_no_group(no_cuda):
    cli.init_process_group('none')
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    'launcher, environment, heard',
    [
        ('none', dict(RANK='1', SLURM_PROCID='1'), True),
        ('pytorch', dict(RANK='0', SLURM_PROCID='1'), True),
        ('pytorch', dict(RANK='1'), False),
        ('slurm', dict(SLURM_PROCID='10'), False),
        ('mpi', dict(OMPI_COMM_WORLD_RANK='2'), False),
        ('slurm', {}, True),
    ],
)
def test_only_the_first_process_logs_the_start(launcher, environment, heard, monkeypatch, request):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = MMLogger.get_instance(request.node.name, log_level='INFO')
    cli._let_the_first_speak(launcher)
    assert logger.isEnabledFor(logging.INFO) == heard


def test_an_image_that_is_a_link_out_of_the_data_root_is_not_evaluated(
    tiny_config, shapes_root, tmp_path
):
    data = tmp_path / 'data'
    shutil.copytree(shapes_root, data)
    image = data / 'JPEGImages/val_00000.jpg'
    os.rename(image, tmp_path / image.name)
    image.symlink_to(tmp_path / image.name)
    roots = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('val', 'test')}
    config = tiny_config('link', roots)
    weights = tmp_path / 'w.pth'
    weights.write_bytes(b'')
    with pytest.raises(SystemExit, match=f'{image} leads to {tmp_path}/{image.name}, outside of'):
        cli.test([config, str(weights), '--work-dir', str(tmp_path)])
