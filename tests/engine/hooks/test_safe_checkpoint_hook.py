"""A training of a few numbers, saved under all kinds of trouble."""

import errno
import itertools
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.fileio import FileClient, LocalBackend
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint
from mmengine.runner._flexible_runner import FlexibleRunner
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.engine.checkpoints import CheckpointBackend
from mmseg_deeplabv3x.engine.checkpoints.resume import newest_checkpoint

names = map('run{}'.format, itertools.count())


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        loss = (self.weight - 1) ** 2
        return dict(loss=loss) if mode == 'loss' else [loss]


class Score(BaseMetric):
    """Gives the mIoUs that it was told to give, one after the other."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        score = next(self.scores)
        return dict(mIoU=score, mAcc=-score)


def runner(
    work_dir,
    iters=6,
    scores=None,
    resume=False,
    kind='SafeCheckpointHook',
    runner_type=Runner,
    **options,
):
    """A runner that saves each second iteration, and validates there if it has scores."""
    # as many samples as iterations: at the end of a loader the framework sleeps
    loader = DataLoader(
        torch.zeros(iters, 1), collate_fn=lambda rows: dict(inputs=torch.stack(rows))
    )
    validation = {}
    if scores:
        validation = dict(val_dataloader=loader, val_cfg={}, val_evaluator=[Score(scores)])
        options = dict(save_best='mIoU', **options) if 'save_best' not in options else options
    return runner_type(
        Model(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iters, val_interval=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type=kind, by_epoch=False, interval=2, **options)),
        default_scope='mmseg',
        experiment_name=next(names),
        resume=resume,
        **validation,
    )


def train(work_dir, **options):
    runner(work_dir, **options).train()
    return sorted(path.name for path in Path(work_dir).glob('*.pth'))


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def weight(path):
    return load(path)['state_dict']['weight'].item()


@pytest.fixture
def broken_disk(monkeypatch):
    """Lets the given files fail: full when they are half written."""
    put = CheckpointBackend.put
    failing = []

    def full(_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    def put_or_fail(self, obj, filepath):
        with monkeypatch.context() as patch:
            if Path(filepath).name in failing:
                patch.setattr(os, 'fsync', full)
            put(self, obj, filepath)

    monkeypatch.setattr(CheckpointBackend, 'put', put_or_fail)
    return failing.extend


def warnings(work_dir):
    """What the run's log warns of."""
    text = ''.join(path.read_text() for path in Path(work_dir).glob('*/*.log'))
    return [line for line in text.splitlines() if 'could not be written' in line]


def test_the_files_of_the_framework_are_written(tmp_path):
    assert train(tmp_path, max_keep_ckpts=2) == ['iter_4.pth', 'iter_6.pth']
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_6.pth')
    assert train(tmp_path, scores=[1, 3, 2]) == [
        'best_mIoU_iter_4.pth',
        'iter_2.pth',
        'iter_4.pth',
        'iter_6.pth',
    ]


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'mAcc']])
def test_a_file_is_removed_when_its_successor_is_there(tmp_path, monkeypatch, save_best):
    remove, removed = LocalBackend.remove, []

    def checked_remove(self, path):
        others = [file for file in tmp_path.glob('*.pth') if str(file) != path]
        kind = Path(path).name.split('iter')[0]  # with max_keep_ckpts=1, one other of each kind
        assert [weight(file) for file in others if file.name.split('iter')[0] == kind]
        assert newest_checkpoint(str(tmp_path))[0] != path
        remove(self, path)
        removed.append(Path(path).name)

    monkeypatch.setattr(LocalBackend, 'remove', checked_remove)
    left = train(tmp_path, scores=[1, 2, 3], max_keep_ckpts=1, save_best=save_best)
    assert {'iter_2.pth', 'iter_4.pth', 'best_mIoU_iter_4.pth'} <= set(removed)
    assert {'iter_6.pth', 'best_mIoU_iter_6.pth'} <= set(left) and not set(left) & set(removed)


class Spy(Hook):
    """Notes which files there are after each iteration."""

    priority = 'LOWEST'

    def __init__(self, folder):
        self.seen, self.folder = [], folder

    def after_train_iter(self, *args, **kwargs):
        self.seen.append(
            sorted(path.name for path in self.folder.glob('*.*') if path.suffix != '.py')
        )


def test_training_goes_on_without_a_checkpoint_that_cannot_be_written(tmp_path, broken_disk):
    broken_disk(['iter_4.pth'])
    work, spy = runner(tmp_path, max_keep_ckpts=1), Spy(tmp_path)
    work.register_hook(spy)
    work.train()
    assert spy.seen[3] == spy.seen[4] == ['iter_2.pth'] and spy.seen[5] == ['iter_6.pth']
    (line,) = warnings(tmp_path)
    assert 'No space left on device' in line and f'last good one is {tmp_path}/iter_2.pth' in line


def test_an_end_that_cannot_be_written_is_an_error(tmp_path, broken_disk):
    broken_disk(['iter_6.pth'])
    with pytest.raises(OSError, match=r'at its end.*No space left.*--resume; .*iter_4.pth\.$'):
        train(tmp_path, max_keep_ckpts=1)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_4.pth']
    assert newest_checkpoint(str(tmp_path))[0] == str(tmp_path / 'iter_4.pth')
    assert load(tmp_path / 'iter_4.pth')['meta']['iter'] == 4


def test_nothing_could_be_written_at_all(tmp_path, broken_disk):
    broken_disk(['iter_2.pth', 'iter_4.pth', 'iter_6.pth'])
    with pytest.raises(OSError, match='last good checkpoint is None'):
        train(tmp_path)
    assert newest_checkpoint(str(tmp_path))[0] is None and not list(tmp_path.glob('.*.tmp'))


def test_a_best_checkpoint_that_cannot_be_written_is_none(tmp_path, broken_disk):
    broken_disk(['best_mIoU_iter_4.pth'])
    left = train(tmp_path, scores=[1, 9, 5, 2], iters=8, max_keep_ckpts=1)
    assert left == ['best_mIoU_iter_6.pth', 'iter_8.pth'], 'better than what there is'
    assert len(warnings(tmp_path)) == 1


@pytest.mark.parametrize('relative', [False, True])
def test_another_folder_for_checkpoints(tmp_path, monkeypatch, relative):
    work_dir, out_dir = tmp_path / 'work' / 'run', tmp_path / 'out'
    monkeypatch.chdir(tmp_path)
    assert train(work_dir, out_dir='out' if relative else str(out_dir)) == []
    monkeypatch.chdir('work')
    assert find_latest_checkpoint(str(work_dir)) == str(out_dir / 'run' / 'iter_6.pth')
    assert os.path.samefile(newest_checkpoint(str(work_dir))[0], out_dir / 'run' / 'iter_6.pth')


def test_options_for_a_storage_of_ones_own_are_left_alone(tmp_path, broken_disk):
    broken_disk(['iter_6.pth'])
    assert 'iter_6.pth' in train(tmp_path, backend_args=dict(backend='local'))


def test_what_a_killed_run_was_about_to_remove_is_removed_on_resuming(tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalBackend, 'remove', kill)
        train(tmp_path / 'run', max_keep_ckpts=1)
    start_from = shutil.copytree(tmp_path / 'run', tmp_path / 'start_from')
    assert train(tmp_path / 'run', max_keep_ckpts=1, resume=True) == ['iter_6.pth']

    fresh = runner(start_from, iters=1)
    fresh._load_from = str(start_from / 'iter_4.pth')
    fresh.train()
    assert (start_from / 'iter_2.pth').exists(), 'weights to start from are of another run'


def test_what_a_killed_run_began_to_write_is_removed_at_the_start(tmp_path):
    left_over = tmp_path / '.iter_4.pth.123.tmp'
    left_over.write_bytes(b'half')
    train(tmp_path, iters=1)
    assert not left_over.exists()


@pytest.mark.parametrize(
    'storage',
    [{}, dict(backend_args=dict(backend='local')), dict(file_client_args=dict(backend='disk'))],
)
def test_the_second_training_of_a_process_removes_its_checkpoints_too(tmp_path, storage):
    for name in ('first', 'second'):
        assert train(tmp_path / name, max_keep_ckpts=1, **storage) == ['iter_6.pth']
    client = FileClient(backend='disk')  # one for the whole process
    (tmp_path / 'file').touch()
    client.remove(tmp_path / 'file')
    assert not (tmp_path / 'file').exists()


@pytest.mark.parametrize('kind', ['CheckpointHook', 'SafeCheckpointHook'])
@pytest.mark.parametrize('runner_type', [Runner, FlexibleRunner])
def test_mmengine_itself_goes_on_from_any_current_folder(tmp_path, monkeypatch, runner_type, kind):
    monkeypatch.chdir(tmp_path)
    train('run', iters=4, max_keep_ckpts=1)
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    shutil.copy(tmp_path / 'run/iter_4.pth', 'iter_4.pth')
    other = load('iter_4.pth')  # of another run, with the name that ours has
    other['meta']['iter'] = 3
    torch.save(other, 'iter_4.pth')
    resumed = runner(tmp_path / 'run', kind=kind, runner_type=runner_type, resume=True)
    start = Spy(tmp_path)
    resumed.register_hook(start)
    resumed.train()
    assert resumed.iter == 6 and len(start.seen) == 2, 'from iteration 4'
    last = find_latest_checkpoint(str(tmp_path / 'run'))
    assert last == str(tmp_path / 'run/iter_6.pth') and load(last)['meta']['iter'] == 6


@pytest.mark.parametrize('save_best', ['mIoU', ['mIoU', 'mAcc']])
def test_a_copied_run_leaves_the_original_alone(tmp_path, save_best):
    original, copied = tmp_path / 'original', tmp_path / 'copied'
    before = train(original, scores=[1, 2], iters=4, max_keep_ckpts=1, save_best=save_best)
    shutil.copytree(original, copied)
    after = train(copied, scores=[3], max_keep_ckpts=1, save_best=save_best, resume=True)
    assert sorted(path.name for path in original.glob('*.pth')) == before
    assert 'best_mIoU_iter_4.pth' in before
    assert 'best_mIoU_iter_6.pth' in after and 'best_mIoU_iter_4.pth' not in after


def test_a_runner_left_to_resume_takes_the_newest_that_loads(tmp_path):
    train(tmp_path)
    expected = weight(tmp_path / 'iter_6.pth')
    (tmp_path / 'iter_6.pth').write_bytes(b'')
    work = runner(tmp_path, resume=True)
    work.train()
    assert work._load_from == str(tmp_path / 'iter_4.pth')
    assert weight(tmp_path / 'iter_6.pth') == expected


def test_a_runner_left_to_resume_starts_afresh_where_nothing_is(tmp_path):
    assert train(tmp_path, resume=True) == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth']
