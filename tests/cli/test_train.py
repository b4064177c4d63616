from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.runner import build_runner
from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint


def test_amp_refuses_a_wrapper_that_it_would_undo(config, train_config):
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


def test_resume_takes_the_last_checkpoint_and_its_seed(config, run, train_config):
    cfg = train_config(config, '--resume', '--work-dir', str(run))
    assert (cfg.load_from, cfg.resume) == (str(run / 'iter_4.pth'), True)
    assert cfg.randomness.seed == 5
    cfg = train_config(config, '--resume', '--work-dir', str(run), '--seed', '6')
    assert cfg.randomness.seed == 6
    assert not train_config(config, '--work-dir', str(run)).resume


@pytest.mark.parametrize('original_is_there', [True, False])
def test_a_copied_work_dir_resumes_from_itself(
    tmp_path, config, run, original_is_there, train_config
):
    copied = tmp_path / 'copied'
    shutil.copytree(run, copied)
    if not original_is_there:
        shutil.rmtree(run)
    cfg = train_config(config, '--resume', '--work-dir', str(copied))
    assert cfg.load_from == str(copied / 'iter_4.pth')


def test_resume_prefers_the_work_dir_to_the_configs_weights(
    config, run, checkpoint, write, train_config
):
    path = write(Path(config).with_name('tuned.py'), load_from=checkpoint)
    assert train_config(path, '--resume', '--work-dir', str(run)).load_from == str(
        run / 'iter_4.pth'
    )
    fresh = train_config(path, '--resume', '--work-dir', 'empty')
    assert (fresh.load_from, fresh.resume) == (checkpoint, False)


def test_resume_from_a_checkpoint_named_on_the_command_line(config, run, train_config):
    named = str(run / 'iter_2.pth')
    cfg = train_config(
        config, '--resume', '--work-dir', str(run), '--cfg-options', f'load_from={named}'
    )
    assert (cfg.load_from, cfg.resume, cfg.randomness.seed) == (named, True, 5)


@pytest.mark.parametrize('named', [False, True])
def test_a_resumed_training_reads_its_checkpoint_once(tiny_config, tmp_path, named):
    """Bytes are counted by the kernel; the padding makes all else that is read small."""
    line = [tiny_config(f'read_once_{named}'), '--work-dir', str(tmp_path)]
    cli_train.train([*line, '--cfg-options', 'train_cfg.max_iters=1'])
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(read_checkpoint(str(path)), padding=torch.rand(2**24)), path)
    options = [f'load_from={path}'] if named else []
    before = bytes_read()
    args = cli_train.train_parser().parse_args(
        [*line, '--resume', '--cfg-options', 'visualizer.name=again', *options]
    )
    build_runner(cli_train.train_config(args), args).train()
    assert 1 <= (bytes_read() - before) / path.stat().st_size < 1.3


def bytes_read():
    return int(re.search(r'rchar: (\d+)', Path('/proc/self/io').read_text())[1])


def test_resume_refuses_a_named_checkpoint_that_does_not_load(config, run, train_config):
    options = ['--cfg-options', f'load_from={run}/last_checkpoint']
    with pytest.raises(ValueError, match='last_checkpoint: the file is damaged'):
        train_config(config, '--resume', '--work-dir', str(run), *options)


@pytest.mark.parametrize('flag', ['--resume', '--resume-from'])
def test_resume_takes_a_file_as_in_mmseg_0(config, run, train_config, flag):
    start = str(run / 'iter_2.pth')
    cfg = train_config(config, flag, start, '--work-dir', str(run))
    assert (cfg.load_from, cfg.resume) == (start, True)
    cfg = train_config(config, '--cfg-options', 'a=1', flag, start)
    assert (cfg.load_from, cfg.a) == (start, 1)
    with pytest.raises(ValueError, match=r'^none\.pth: it is not there$'):
        train_config(config, flag, 'none.pth')


@pytest.mark.parametrize('line', [['x.pth'], ['--resume', 'x.pth', 'y.pth'], ['--resume', '--amq']])
def test_what_no_flag_takes_is_refused(config, train_config, line, capsys):
    with pytest.raises(SystemExit):
        train_config(config, *line)
    assert 'unrecognized arguments: ' in capsys.readouterr().err


@pytest.mark.parametrize('loop', [dict(type='EpochBasedTrainLoop'), dict(by_epoch=True)])
@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'SeededInfiniteSampler'])
def test_epochs_need_an_end(tmp_path, write, train_config, loop, sampler):
    def config(name, loop, sampler):
        loader = dict(batch_size=2, sampler=dict(type=sampler))
        return write(tmp_path / name, model={}, train_cfg=loop, train_dataloader=loader)

    with pytest.raises(ValueError, match=f'train_dataloader.sampler, {sampler}, has no end: use D'):
        train_config(config('endless.py', dict(loop, max_epochs=3), sampler))
    train_config(config('epochs.py', dict(loop, max_epochs=3), 'DefaultSampler'))
    train_config(config('iterations.py', dict(type='IterBasedTrainLoop', max_iters=3), sampler))


def test_resume_passes_over_a_checkpoint_that_does_not_load(config, run, train_config):
    (run / 'iter_4.pth').write_bytes(b'')
    assert train_config(config, '--resume', '--work-dir', str(run)).load_from == str(
        run / 'iter_2.pth'
    )


def test_the_checkpoint_is_loaded_and_nothing_is_resumed(
    tmp_path, config, checkpoint, evaluation_config
):
    cfg = evaluation_config(
        config, checkpoint, '--cfg-options', 'resume=True', 'load_from=other.pth'
    )
    assert (cfg.load_from, cfg.resume) == (checkpoint, False)
    assert not cfg.default_hooks.visualization.get('draw')


def loaders(**loader):
    return Config(dict(randomness=dict(seed=7), train_dataloader=loader, val_dataloader=None))


def test_loaders_with_workers_get_a_timeout_and_keep_their_own():
    cfg = loaders(num_workers=2)
    cli_train.prepare_loaders(cfg)
    assert cfg.train_dataloader.timeout == cli_train.TIMEOUT_SECONDS
    cfg = loaders(num_workers=2, timeout=5)
    cli_train.prepare_loaders(cfg)
    assert cfg.train_dataloader.timeout == 5


def test_pytorch_refuses_a_timeout_without_workers_so_there_is_none():
    cfg = loaders(num_workers=0)
    cli_train.prepare_loaders(cfg)
    assert cfg.train_dataloader == dict(num_workers=0)


class Draws(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.randint(1 << 30, (1,)).item(), os.getpgrp() == os.getpid()


def test_workers_have_the_seed_of_the_runner_and_a_group_of_their_own():
    sampler = dict(type='DefaultSampler', shuffle=False)
    stock = dict(batch_size=1, num_workers=2, dataset=Draws(), sampler=sampler)
    expected = [number for (number,), _ in Runner.build_dataloader(stock, seed=7)]

    own_group = loaders(num_workers=2)
    cli_train.prepare_loaders(own_group)
    ours = dict(stock, **own_group.train_dataloader.to_dict())
    drawn = list(Runner.build_dataloader(ours, seed=7))
    assert [number for (number,), _ in drawn] == expected
    assert all(alone for _, (alone,) in drawn)


class FakeRunner:
    def __init__(self, error):
        self.error = error

    def train(self):
        raise self.error


def test_other_errors_go_their_way():
    error = RuntimeError('something else')
    with pytest.raises(RuntimeError) as caught:
        cli_train.run_training(FakeRunner(error))
    assert caught.value is error


@pytest.mark.parametrize('base, batch, rate', [(None, 4, 0.007 / 4), (8, 4, 0.007 / 2)])
def test_auto_scale_lr_is_in_proportion_to_the_images_of_a_step(
    tiny_config, tmp_path, base, batch, rate
):
    changes = {'train_cfg.max_iters': 1, 'train_dataloader.batch_size': batch}
    if base:
        changes['auto_scale_lr'] = dict(enable=False, base_batch_size=base)
    config = tiny_config(f'scaled_{base}', changes)
    args = cli_train.parse(cli_train.train_parser(), [config, '--auto-scale-lr'])
    cfg = cli_train.train_config(args)
    cfg.work_dir = str(tmp_path)
    runner = build_runner(cfg, args)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    assert runner.optim_wrapper.param_groups[0]['lr'] == pytest.approx(rate)


# ---- restarts by a launcher

NAMES = ('TORCHELASTIC_MAX_RESTARTS', 'SLURM_RESTART_COUNT')


@pytest.fixture(autouse=True)
def not_restarted(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('name', NAMES)
def test_launchers_tell_that_they_restart(name, monkeypatch):
    assert not cli_train.is_restarted_by_launcher()
    monkeypatch.setenv(name, '0')
    assert not cli_train.is_restarted_by_launcher()
    monkeypatch.setenv(name, '2')
    assert cli_train.is_restarted_by_launcher()


def test_what_the_run_has_saved_comes_before_what_it_was_started_from(
    tiny_config, tmp_path, monkeypatch
):
    def resumed(*flags):
        line = [config, '--work-dir', str(tmp_path), *flags, '--cfg-options', f'load_from={start}']
        cfg = cli_train.train_config(cli_train.train_parser().parse_args(line))
        return cfg.load_from, cfg.resume

    config, start = tiny_config('restarts'), str(tmp_path / 'start.pth')
    saved = str(tmp_path / 'iter_2.pth')
    torch.save(dict(meta=dict(seed=0), state_dict={}, message_hub={}), start)
    monkeypatch.setenv(NAMES[0], '1')
    assert resumed() == (start, False)
    assert resumed('--resume') == (start, True)
    torch.save(torch.load(start), saved)
    assert resumed() == (saved, True)
    assert resumed('--resume') == (saved, True)
    monkeypatch.delenv(NAMES[0])
    assert resumed() == (start, False)
    assert resumed('--resume') == (start, True)
