from __future__ import annotations

import pytest
import torch
from chaos_soak.checkpoints import Checkpoints
from chaos_soak.fault_plan import EMPTY_RECORD, GARBAGE, TRUNCATED

from mmseg_deeplabv3x.engine.checkpoints.resume import newest_checkpoint

STATE = dict(meta={}, message_hub={}, state_dict={f'w{i}': torch.rand(50 * 3**i) for i in range(6)})


def save(folder, iteration):
    torch.save(STATE, folder / f'iter_{iteration}.pth')
    (folder / 'last_checkpoint').write_text(f'iter_{iteration}.pth')


@pytest.fixture
def folder(tmp_path):
    for iteration in (90, 100):
        save(tmp_path, iteration)
    return tmp_path


def resumed(folder):
    """The iteration that ``--resume`` really goes on from."""
    path, _ = newest_checkpoint(str(folder))
    return int(path.split('_')[-1].split('.')[0]) if path else 0


@pytest.mark.parametrize('chance', [0.0, 0.01, 0.3, 0.65, 0.99, 0.9999])
@pytest.mark.parametrize('kind', [TRUNCATED, GARBAGE])
def test_a_damaged_checkpoint_does_not_load_until_it_is_written_anew(folder, kind, chance):
    work_dir = Checkpoints(folder)
    assert work_dir.expected() == resumed(folder) == 100
    assert work_dir.damage(kind, chance)
    assert work_dir.expected() == resumed(folder) == 90
    assert work_dir.names() == {'iter_90.pth'}
    assert not work_dir.damage(kind, chance), 'the one before is left alone'
    save(folder, 100)
    assert work_dir.expected() == resumed(folder) == 100


def test_an_empty_record_leaves_the_newest(folder):
    work_dir = Checkpoints(folder)
    (folder / 'last_checkpoint').write_text('iter_90.pth')
    assert work_dir.expected() == resumed(folder) == 90
    assert work_dir.damage(EMPTY_RECORD, 0.5)
    assert (folder / 'last_checkpoint').read_text() == ''
    assert work_dir.expected() == resumed(folder) == 100


def test_where_nothing_is_there_is_nothing_to_damage(tmp_path):
    work_dir = Checkpoints(tmp_path / 'not there yet')
    assert not any(work_dir.damage(kind, 0.5) for kind in (TRUNCATED, GARBAGE, EMPTY_RECORD))
    assert work_dir.expected() == 0


def test_what_is_half_written_is_seen(folder):
    half = folder / '.iter_110.pth.77.tmp'
    half.touch()
    assert Checkpoints(folder).half_written() == [half]
    assert half.name in Checkpoints(folder).names()
