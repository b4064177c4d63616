"""A training in one iteration, of which nothing is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_deeplabv3x.cli import dry_run
from mmseg_deeplabv3x.cli.train import train


def test_everything_runs_once_and_nothing_is_kept(
    tiny_config, tmp_path, tmp_path_factory, monkeypatch, capsys
):
    # PyTorch makes this folder, by default a temporary one, whenever it first imports its compiler
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path_factory.mktemp('inductor')))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    config = tiny_config('dry_run', {'train_cfg.max_iters': 700, 'train_cfg.val_interval': 70})
    train([config, '--dry-run'])
    out = capsys.readouterr().out
    assert 'would take 700 iterations, with an evaluation every 70 and a checkpoint every 2' in out
    assert 'in work_dirs/dry_run' in out and 'val 1 images' in out
    assert 'Iter(train) [1/1]' in out and 'Iter(val) [1/1]' in out
    assert out.rstrip().endswith('Dry run: all of it works.')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'loop, said',
    [
        (dict(max_iters=1000), 'go on after iteration 40 and take 960 iterations, with'),
        (dict(max_iters=30), 'go on after iteration 40 and take 0 iterations, with'),
        (dict(by_epoch=True, max_epochs=9), 'go on after epoch 3 and take 6 epochs, with'),
    ],
)
def test_of_a_training_that_goes_on_it_tells_what_remains(loop, said):
    plan = dry_run.plan(Config(dict(work_dir='w', train_cfg=loop)), dict(iter=40, epoch=3))
    assert f'Dry run. The training would {said}' in plan
    assert plan.endswith('one iteration starts from its weights, and is counted as the first.')


def test_it_takes_that_from_the_checkpoint(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes = {'train_cfg.max_iters': 2, 'default_hooks.checkpoint.interval': 2}
    config = tiny_config('dry_run_resumed', changes)
    train([config])
    longer = ['--cfg-options', 'train_cfg.max_iters=700', 'visualizer.name=resumed']
    train([config, '--resume', '--dry-run', *longer])
    assert 'would go on after iteration 2 and take 698 iterations' in capsys.readouterr().out


def test_of_several_processes_the_first_one_speaks(tiny_config, monkeypatch, capsys):
    monkeypatch.setattr('mmseg_deeplabv3x.cli.train.log_on_first_rank_only', lambda launcher: False)
    train([tiny_config('dry_run_second'), '--dry-run'])
    out = capsys.readouterr().out
    assert 'Iter(train) [1/1]' in out and not any(map(out.count, ('Dry run', 'all of it works')))


def test_epochs_and_wrapped_datasets_are_shortened_too():
    dataset = dict(type='ConcatDataset', datasets=[dict(type='A'), dict(type='B')])
    cfg = Config(
        dict(
            work_dir='w',
            train_cfg=dict(by_epoch=True, max_epochs=9, val_interval=3),
            train_dataloader=dict(batch_size=4, dataset=dict(type='R', dataset=dataset)),
        )
    )
    assert 'would take 9 epochs, with an evaluation every 3' in dry_run.plan(cfg)
    dry_run.shorten(cfg)
    assert cfg.train_cfg == dict(by_epoch=True, max_epochs=1, val_interval=1)
    parts = cfg.train_dataloader.dataset.dataset.datasets
    assert [part.indices for part in parts] == [4, 4]
    assert 'indices' not in cfg.train_dataloader.dataset
    Path(cfg.work_dir).rmdir()


def test_it_begins_anew_keeps_no_checkpoint_and_logs_its_iteration():
    cfg = Config(
        dict(
            work_dir='w',
            resume=True,
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=9, val_interval=3),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=1),
                logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
            ),
        )
    )
    dry_run.shorten(cfg)
    assert cfg.resume is False
    assert cfg.default_hooks == dict(
        checkpoint=None, logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False)
    )
    Path(cfg.work_dir).rmdir()


def test_what_is_wrong_is_found(tiny_config):
    config = tiny_config('dry_run_bad', {'model.decode_head.num_classes': 3})
    with pytest.raises(SystemExit, match=r'num_classes is 3'):
        train([config, '--dry-run'])
