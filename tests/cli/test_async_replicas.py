"""What the environment of tools/async_train.sh makes of a config."""

import os

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_deeplabv3x.cli.async_replicas import use_async_replicas
from mmseg_deeplabv3x.cli.train import train_config, train_parser


@pytest.fixture
def cfg():
    return Config(
        dict(
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=5),
            load_from='start.pth',
            work_dir='here',
            val_dataloader={},
            val_cfg={},
            val_evaluator={},
        )
    )


@pytest.fixture
def env(monkeypatch):
    for name in ('ASYNC_REPLICAS', 'ASYNC_HOLDER', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    logger = MMLogger.get_current_instance()
    level = logger.level
    yield monkeypatch.setenv
    logger.setLevel(level)


def test_without_it_nothing_changes(cfg, env):
    env('PORT', '1234')  # of dist_train.sh
    before = cfg.to_dict()
    assert not use_async_replicas(cfg)
    assert cfg.to_dict() == before


def test_a_holder(cfg, env):
    env('ASYNC_REPLICAS', '4')
    env('PORT', '1234')
    assert not use_async_replicas(cfg)
    assert cfg.train_cfg == dict(type='AsyncReplicaLoop', max_iters=5, replicas=4, port=1234)
    assert (cfg.load_from, cfg.work_dir) == ('start.pth', 'here')


def test_a_replica_keeps_and_loads_nothing(cfg, env):
    env('ASYNC_HOLDER', 'there:1')
    assert use_async_replicas(cfg)
    assert cfg.train_cfg.type == 'AsyncReplicaLoop'
    assert cfg.load_from is cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    assert cfg.work_dir != 'here' and os.path.isdir(cfg.work_dir)


def test_a_replica_leaves_dry_run_and_report_to_its_holder(env, tiny_config):
    line = [tiny_config('asynchronous'), '--dry-run', '--report']
    args = train_parser().parse_args(line)
    train_config(args)
    assert args.dry_run and args.report
    env('ASYNC_HOLDER', 'there:1')
    train_config(args)
    assert not args.dry_run and not args.report


def test_numbers_are_numbers(cfg, env):
    env('ASYNC_REPLICAS', '2')
    env('PORT', 'http')
    with pytest.raises(ValueError, match="PORT must be a number, but is 'http'"):
        use_async_replicas(cfg)
