from __future__ import annotations

import logging
import os

import pytest
import torch
from mmengine.logging import MMLogger

from mmseg_deeplabv3x.cli import runner


def test_work_dir_comes_from_the_command_line_the_config_or_its_name(
    tmp_path, config, write, train_config
):
    assert train_config(config).work_dir == os.path.join('work_dirs', 'small')
    named = write(tmp_path / 'named.py', work_dir='of_config')
    assert train_config(named).work_dir == 'of_config'
    assert train_config(named, '--work-dir', 'of_line').work_dir == 'of_line'


def test_cfg_options_override_the_config(config, train_config):
    cfg = train_config(config, '--cfg-options', 'model.output_stride=8', 'model.rates=(6,12)')
    assert (cfg.model.output_stride, cfg.model.rates) == (8, (6, 12))
    assert cfg.model.type == 'EncoderDecoder'


@pytest.mark.parametrize(
    'of_config, argv, seed',
    [(None, [], 0), (7, [], 7), (7, ['--seed', '3'], 3), (7, ['--seed', '0'], 0)],
)
def test_there_is_always_a_seed(tmp_path, of_config, argv, seed, write, train_config):
    path = write(tmp_path / 'seeded.py', randomness=dict(seed=of_config, deterministic=True))
    assert train_config(path, *argv).randomness == dict(seed=seed, deterministic=True)
    path = write(tmp_path / 'plain.py', model={})
    assert train_config(path).randomness == dict(seed=0)


def test_amp_without_cuda_is_bfloat16(config, no_cuda, train_config):
    assert train_config(config, '--amp').optim_wrapper == dict(type='AutocastOptimWrapper')
    stock = ['optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=dynamic']
    cfg = train_config(config, '--amp', '--cfg-options', *stock)
    assert cfg.optim_wrapper == dict(type='AutocastOptimWrapper')


def test_amp_with_cuda_is_the_stock_wrapper(config, cuda, train_config):
    wrapper = train_config(config, '--amp').optim_wrapper
    assert wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')
    given = ['optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.loss_scale=512.0']
    wrapper = train_config(config, '--amp', '--cfg-options', *given).optim_wrapper
    assert wrapper == dict(type='AmpOptimWrapper', loss_scale=512.0)


def test_without_cuda_ddp_gets_no_gpu_and_bn_stays(config, no_cuda, train_config):
    cfg = train_config(config, '--launcher', 'pytorch')
    assert cfg.model_wrapper_cfg == dict(broadcast_buffers=False, device_ids=None)
    assert cfg.sync_bn is None
    own = ['model_wrapper_cfg.find_unused_parameters=True']
    cfg = train_config(config, '--launcher', 'pytorch', '--cfg-options', *own)
    assert cfg.model_wrapper_cfg == dict(find_unused_parameters=True, device_ids=None)


def test_without_cuda_the_models_sync_bn_becomes_bn(config, no_cuda, write, train_config):
    norm = dict(type='SyncBN', requires_grad=True)
    parts = dict(backbone=dict(norm_cfg=norm), auxiliary_head=[dict(norm_cfg=norm)])
    with open(config, 'a') as file:
        file.write(f'\nmodel.update({parts!r})\n')
    cfg = train_config(config, '--launcher', 'pytorch')
    assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.auxiliary_head[0].norm_cfg.type == 'BN'
    assert train_config(config).model.backbone.norm_cfg.type == 'SyncBN'


def test_with_cuda_the_runner_does_as_ever(config, cuda, train_config):
    cfg = train_config(config, '--launcher', 'pytorch')
    assert 'model_wrapper_cfg' not in cfg
    assert cfg.sync_bn == 'torch'


@pytest.mark.parametrize(
    'kind', ['mmengine.OptimWrapper', 'mmengine.AmpOptimWrapper', 'AutocastOptimWrapper']
)
def test_amp_knows_a_wrapper_by_its_class(config, no_cuda, train_config, kind):
    options = ['--cfg-options', f'optim_wrapper.type={kind}']
    assert train_config(config, '--amp', *options).optim_wrapper.type == 'AutocastOptimWrapper'


@pytest.mark.parametrize('kind', ['mmengine.SyncBN', 'MMSyncBN'])
def test_sync_bn_is_known_by_its_class(config, no_cuda, train_config, kind):
    options = [f'model.neck.norm_cfg.type={kind}', 'model.neck.type=CascadeNeck']
    cfg = train_config(config, '--launcher', 'pytorch', '--cfg-options', *options)
    assert cfg.model.neck == dict(norm_cfg=dict(type='BN'), type='CascadeNeck')


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_without_cuda_only_torchrun_launches(no_cuda, launcher):
    with pytest.raises(ValueError, match=f'--launcher {launcher} needs CUDA.*dist_train.sh'):
        runner.init_process_group(launcher)


def test_launcher_pytorch_outside_torchrun_names_the_script(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(ValueError, match='no RANK in the environment: use tools/dist_train.sh'):
        runner.init_process_group('pytorch')


def test_one_process_needs_no_group(no_cuda):
    runner.init_process_group('none')
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
    assert runner.log_on_first_rank_only(launcher) == heard
    assert logger.isEnabledFor(logging.INFO) == heard
