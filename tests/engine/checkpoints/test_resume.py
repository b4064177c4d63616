import pickle
import shutil
import weakref

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmseg_deeplabv3x.engine.checkpoints import resume
from mmseg_deeplabv3x.engine.checkpoints.resume import (
    last_checkpoint,
    load_once,
    newest_checkpoint,
    read_checkpoint,
)


def save(path):
    """A checkpoint with all that a runner asks for."""
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    weights = dict(weight=torch.arange(1000.0))
    torch.save(dict(meta=dict(iter=1, seed=5), state_dict=weights, message_hub=hub), path)


def newest(work_dir):
    """Path of the newest checkpoint that loads."""
    return newest_checkpoint(work_dir)[0]


@pytest.fixture
def run(tmp_path):
    """A work dir after 12 iterations."""
    for step in (2, 4, 6, 8, 10, 12):
        save(tmp_path / f'iter_{step}.pth')
    (tmp_path / 'last_checkpoint').write_text('iter_12.pth')
    return tmp_path


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def hostile(path):
    torch.save(dict(meta=Hostile(path.with_name('hacked'))), path)


def hostile_pickle(path):
    path.write_bytes(pickle.dumps(Hostile(path.with_name('hacked')), protocol=2))


@pytest.fixture
def said(monkeypatch):
    """The lines of the log."""
    lines = []
    monkeypatch.setattr(resume, 'print_log', lambda line, logger: lines.append(line))
    return lines


DAMAGED = 'the file is damaged at its end, which is missing'
# {what happened to the file: (how, what is said of it)}
FAULTS = {
    'truncated': (truncate, DAMAGED),
    'half': (lambda path: path.write_bytes(path.read_bytes()[:2000]), DAMAGED),
    'empty': (lambda path: path.write_bytes(b''), DAMAGED),
    'missing': (lambda path: path.unlink(), 'it is not there'),
    'zeros': (lambda path: path.write_bytes(bytes(path.stat().st_size)), DAMAGED),
    'text': (lambda path: path.write_text('<html>404</html>'), DAMAGED),
    'bit': (flip, 'the file is damaged at iter_12/data/0'),
    'hostile': (hostile, 'it asks for io.open, which no'),
    'pickle': (hostile_pickle, DAMAGED),
    'weights': (lambda path: torch.save(dict(state_dict={}), path), 'it has no meta'),
    'tensor': (lambda path: torch.save(torch.zeros(3), path), 'it has no meta'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_bad_last_checkpoint_is_passed_over_and_named(run, fault, said):
    FAULTS[fault][0](run / 'iter_12.pth')
    assert newest(str(run)) == str(run / 'iter_10.pth')
    passed, chosen = said
    assert passed.startswith(f'Resume: passed over {run}/iter_12.pth: {FAULTS[fault][1]}')
    assert '\n' not in passed and len(passed) < 400
    assert f'going on from {run}/iter_10.pth' in chosen
    assert not (run / 'hacked').exists()


def test_several_bad_ones_are_passed_over_one_by_one(run, said):
    for step, fault in zip((12, 10, 8, 6), ('missing', 'empty', 'half', 'hostile')):
        FAULTS[fault][0](run / f'iter_{step}.pth')
    assert newest(str(run)) == str(run / 'iter_4.pth')
    assert len(said) == 5


@pytest.mark.parametrize(
    'content', [None, b'', b'\n', b'\x00\xff', b'none/iter_9.pth', b'/x/iter_99.pth']
)
def test_without_a_useful_record_the_highest_iteration_counts(run, content):
    record = run / 'last_checkpoint'
    record.unlink() if content is None else record.write_bytes(content)
    for find in (newest, last_checkpoint):
        assert find(str(run)) == str(run / 'iter_12.pth')


def test_the_record_counts_more_than_the_iteration(run):
    (run / 'last_checkpoint').write_text('iter_4.pth')
    assert newest(str(run)) == last_checkpoint(str(run)) == str(run / 'iter_4.pth')


@pytest.mark.parametrize('moved', [shutil.move, shutil.copytree])
@pytest.mark.parametrize('absolute', [False, True])
def test_a_moved_work_dir_is_its_own(run, moved, absolute, tmp_path_factory):
    if absolute:  # as mmengine's own hook writes it
        (run / 'last_checkpoint').write_text(str(run / 'iter_12.pth'))
    other = tmp_path_factory.mktemp('moved') / 'run'
    moved(run, other)
    assert newest(str(other)) == str(other / 'iter_12.pth')


def test_checkpoints_in_another_folder_are_found_by_a_relative_name(run, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('work')
    (work_dir / 'last_checkpoint').write_text(f'../{run.name}/iter_12.pth')
    if run.parent != work_dir.parent:
        run = shutil.move(run, work_dir.parent)
    truncate(work_dir / f'../{run.name}/iter_12.pth')
    assert newest(str(work_dir)) == f'{work_dir}/../{run.name}/iter_10.pth'


def test_a_copy_that_lost_its_last_checkpoint_leaves_the_original_alone(run, tmp_path_factory):
    (run / 'last_checkpoint').write_text(str(run / 'iter_12.pth'))
    copied = shutil.copytree(run, tmp_path_factory.mktemp('copied') / 'run')
    (copied / 'iter_12.pth').unlink()
    assert newest(str(copied)) == str(copied / 'iter_10.pth')


def test_checkpoints_in_another_folder_are_found_by_an_absolute_path(run, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('work')
    (work_dir / 'last_checkpoint').write_text(str(run / 'iter_12.pth'))
    (run / 'last_checkpoint').unlink()  # it is the hook's out_dir, and no work dir
    assert newest(str(work_dir)) == str(run / 'iter_12.pth')


def test_what_cannot_be_resumed_is_not_tried(tmp_path, said):
    for name in ('best_mIoU_iter_2.pth', 'iter_2-12345678.pth', '.iter_4.pth.7.tmp'):
        save(tmp_path / name)
    assert newest(str(tmp_path)) is None and last_checkpoint(str(tmp_path)) is None
    assert f'no checkpoint in {tmp_path} to go on from, starting afresh' in said[-1]
    assert newest(str(tmp_path / 'none')) is None


def test_epochs_are_checkpoints_too(tmp_path):
    for epoch in (9, 10):
        save(tmp_path / f'epoch_{epoch}.pth')
    assert newest(str(tmp_path)) == str(tmp_path / 'epoch_10.pth')


def test_last_checkpoint_opens_nothing(run):
    truncate(run / 'iter_12.pth')
    assert last_checkpoint(str(run)) == str(run / 'iter_12.pth')


def test_a_checkpoint_is_read_or_refused_in_one_line(run):
    assert read_checkpoint(str(run / 'iter_2.pth'))['meta']['seed'] == 5
    truncate(run / 'iter_2.pth')
    with pytest.raises(ValueError, match='iter_2.pth: the file is damaged') as error:
        read_checkpoint(str(run / 'iter_2.pth'))
    assert '\n' not in str(error.value)


# ---------------------------------------------------------------- read once


def test_what_was_read_is_loaded_once_and_then_forgotten(run):
    path, checkpoint = newest_checkpoint(str(run))
    load_once(path, checkpoint)
    other = CheckpointLoader.load_checkpoint(str(run / 'iter_10.pth'))
    assert other is not checkpoint, 'only the file itself'
    schemes = len(CheckpointLoader._schemes)
    assert CheckpointLoader.load_checkpoint(path, 'cpu') is checkpoint
    kept = weakref.ref(checkpoint['state_dict']['weight'])
    del checkpoint
    assert kept() is None and len(CheckpointLoader._schemes) == schemes - 1
    assert CheckpointLoader.load_checkpoint(path)['meta']['seed'] == 5


@pytest.mark.parametrize('change', ['written', 'replaced'])
def test_a_file_that_changes_after_it_was_read_is_read_again(run, change):
    path, checkpoint = newest_checkpoint(str(run))
    load_once(path, checkpoint)
    new = dict(checkpoint, meta=dict(seed=6))
    if change == 'written':
        torch.save(new, path)
    else:
        torch.save(new, run / 'new.pth')
        (run / 'new.pth').rename(path)
    assert CheckpointLoader.load_checkpoint(path)['meta']['seed'] == 6


def test_one_that_is_gone_is_an_error_of_the_loader(run):
    path, checkpoint = newest_checkpoint(str(run))
    load_once(path, checkpoint)
    (run / 'iter_12.pth').unlink()
    with pytest.raises(FileNotFoundError):
        CheckpointLoader.load_checkpoint(path)
