"""Running rows, with a stub in place of the trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from common.child_process import CommandError
from paper_tables import train_evaluate
from paper_tables.runs import Clock, Job, run_rows

from mmseg_deeplabv3x.paper import find_rows

MIOU = {'table4/os16': 50.0, 'table4/os8': 51.5, 'table5/mg111': 40.0}


@pytest.fixture
def stub(monkeypatch):
    """Trainer that writes the checkpoint and nothing else; tells what it was called for."""
    calls = []

    def train(config, folder):
        name = '/'.join(folder.parts[-3:])
        calls.append(('train', name))
        if name in train.broken:
            raise CommandError('out of memory')
        (folder / 'training').mkdir(exist_ok=True)
        (folder / 'training' / 'iter_5.pth').touch()
        (folder / 'training' / 'last_checkpoint').write_text('/elsewhere/iter_5.pth')

    def evaluate(config, checkpoint, folder, augmented):
        calls.append(('evaluate', '/'.join(folder.parts[-3:-1]), augmented))
        assert Path(checkpoint).is_file() and config == folder / 'config.py'
        return MIOU.get('/'.join(folder.parts[-3:-1]), 10.0)

    train.broken = set()
    monkeypatch.setattr(train_evaluate, 'train', train)
    monkeypatch.setattr(train_evaluate, 'evaluate', evaluate)
    calls_and_breaks = type('Stub', (), dict(calls=calls, broken=train.broken))
    return calls_and_breaks


def run(work_dir, *names, **settings):
    rows = [row for name in names for row in find_rows(name)]
    return run_rows(rows, str(work_dir), **{'dataset': 'shapes', 'iters': 5, **settings})


def test_a_shared_training_is_done_once(stub, tmp_path, capsys):
    assert run(tmp_path, 'table4') == []
    assert stub.calls == [
        ('train', 'table3/mg121-block7/seed0'),
        ('evaluate', 'table4/os16', False),
        ('evaluate', 'table4/os8', False),
        ('evaluate', 'table4/os8-ms', True),
        ('evaluate', 'table4/os8-ms-flip', True),
    ]
    result = json.loads((tmp_path / 'table4/os8/seed0/result.json').read_text())
    assert result == dict(
        row='table4/os8',
        seed=0,
        miou=51.5,
        training='table3/mg121-block7',
        dataset='shapes',
        iters=5,
        options={},
    )
    shown = capsys.readouterr().out
    assert '[2/4] table4/os8, seed 0' in shown
    assert 'mIoU 51.50 (paper: 78.05)' in shown and 'rows left: 2, about 0:00:00' in shown


def test_finished_rows_are_skipped(stub, tmp_path, capsys):
    run(tmp_path, 'table4/os8')
    stub.calls.clear()
    run(tmp_path, 'table4/os8')
    assert stub.calls == [] and 'mIoU 51.50 (paper: 78.05); done before' in capsys.readouterr().out
    run(tmp_path, 'table3/mg121-block7')
    assert stub.calls == [('evaluate', 'table3/mg121-block7', False)]


def test_broken_rows_are_told_and_resumed(stub, tmp_path):
    stub.broken.add('table5/mg111/seed0')
    failures = run(tmp_path, 'table5/mg111', 'table5/mg121')
    assert failures == ['table5/mg111, seed 0: out of memory']
    assert ('evaluate', 'table5/mg121', False) in stub.calls
    stub.broken.clear()
    stub.calls.clear()
    assert run(tmp_path, 'table5/mg111', 'table5/mg121') == []
    assert stub.calls == [('train', 'table5/mg111/seed0'), ('evaluate', 'table5/mg111', False)]


def test_an_unfinished_training_goes_on(stub, tmp_path):
    training = tmp_path / 'table5/mg111/seed0/training'
    training.mkdir(parents=True)
    (training / 'iter_3.pth').touch()
    (training / 'last_checkpoint').write_text('iter_3.pth')
    run(tmp_path, 'table5/mg111')
    assert stub.calls[0] == ('train', 'table5/mg111/seed0')


def test_each_seed_is_a_run_of_its_own(stub, tmp_path):
    run(tmp_path, 'table5/mg111', seeds=[0, 1])
    assert [call[1] for call in stub.calls[::2]] == ['table5/mg111/seed0', 'table5/mg111/seed1']
    assert 'seed=1' in (tmp_path / 'table5/mg111/seed1/config.py').read_text()


@pytest.mark.parametrize(
    'settings,message',
    [
        (dict(iters=6), 'train_cfg.max_iters = 5, but 6 is asked for: choose another --work-dir'),
        (dict(options={'optim_wrapper.optimizer.lr': 0.5}), r'lr = [\d.]+, but 0.5 is asked for'),
    ],
)
def test_a_folder_of_other_settings_is_refused(stub, tmp_path, settings, message):
    run(tmp_path, 'table4/os8')
    with pytest.raises(ValueError, match=message):
        run(tmp_path, 'table4/os16', **settings)


def test_rows_without_weights_are_passed_over(stub, tmp_path, capsys):
    assert run(tmp_path, 'table8/no-bn', 'table6/coco') == []
    shown = capsys.readouterr().out
    assert 'skipped: table8/no-bn freezes BN' in shown
    assert 'skipped: table6/coco starts from' in shown
    assert stub.calls == []


def test_what_is_trained_is_evaluated_though_its_start_is_gone(stub, tmp_path):
    start = tmp_path / 'coco.pth'
    start.touch()
    asked = dict(dataset=None, options={'load_from': str(start)})
    stub.broken.add('table6/coco/seed0')
    assert run(tmp_path, 'table6/coco', **asked) == ['table6/coco, seed 0: out of memory']
    training = tmp_path / 'table6/coco/seed0/training'
    training.mkdir()
    (training / 'iter_5.pth').touch()
    start.unlink()
    stub.calls.clear()
    assert run(tmp_path, 'table6/coco', **asked) == []
    assert stub.calls == [('evaluate', 'table6/coco', True)]


def test_trainings_run_without_validation_and_save_often_enough(tmp_path):
    (row,) = find_rows('table5/mg111')
    cfg = Job(row, 0, str(tmp_path), dict(dataset='camvid', options=None, iters=100)).config
    assert cfg.val_cfg is None and cfg.val_dataloader is None
    assert cfg.default_hooks.checkpoint.interval == 20
    assert cfg.default_hooks.checkpoint.save_best is None


def test_time_left_counts_trainings_and_evaluations(tmp_path):
    asked = dict(dataset='shapes', options=None, iters=5)
    jobs = [Job(row, 0, str(tmp_path), asked) for row in find_rows('table4')]
    clock = Clock()
    assert clock.left(jobs) == ', rows left: 4'
    clock.seconds.update(train=[100, 200], evaluate=[10])
    assert clock.left(jobs) == ', rows left: 4, about 0:03:10'
    assert clock.left([]) == ''
