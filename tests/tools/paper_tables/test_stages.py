"""Two stages by one command, with a stub in place of the trainer."""

from __future__ import annotations

import os

import pytest
from mmengine.config import Config
from paper_tables import train_evaluate
from paper_tables.stages import BOOTSTRAPPED, FIRST, SECOND, best_checkpoint, run_stages


@pytest.fixture
def trained(monkeypatch):
    """Configs that the stub was called with."""
    configs = []

    def train(config, folder):
        configs.append(Config.fromfile(config))
        last = f'iter_{configs[-1].train_cfg.max_iters}.pth'
        (folder / 'training').mkdir()
        for name in (last, 'best_mIoU_iter_3.pth'):
            (folder / 'training' / name).touch()
        (folder / 'training' / 'last_checkpoint').write_text(last)

    monkeypatch.setattr(train_evaluate, 'train', train)
    return configs


@pytest.mark.parametrize('second', [SECOND, BOOTSTRAPPED])
def test_second_stage_starts_from_the_best_of_the_first(trained, tmp_path, second):
    last = run_stages(str(tmp_path), FIRST, second, {'train_cfg.max_iters': 4})
    first, then = trained
    assert first.train_cfg.max_iters == then.train_cfg.max_iters == 4
    assert first.model.output_stride == 16 and not first.model.freeze_bn
    assert then.model.output_stride == 8 and then.model.freeze_bn
    assert then.optim_wrapper.optimizer.lr == 0.001
    assert then.load_from == str(tmp_path / 'stage1/training/best_mIoU_iter_3.pth')
    assert ('Bootstrap' in then.train_dataloader.dataset.type) == (second == BOOTSTRAPPED)
    assert last == str(tmp_path / 'stage2/training/iter_4.pth')


def test_finished_stages_are_skipped(trained, tmp_path):
    run_stages(str(tmp_path))
    (tmp_path / 'stage2/training/last_checkpoint').unlink()
    (tmp_path / 'stage2/training').rename(tmp_path / 'broken')
    run_stages(str(tmp_path))
    run_stages(str(tmp_path))
    assert [cfg.model.freeze_bn for cfg in trained] == [False, True, True]


def test_other_settings_are_refused(trained, tmp_path):
    run_stages(str(tmp_path))
    with pytest.raises(ValueError, match='max_iters = 30000, but 9 is asked for'):
        run_stages(str(tmp_path), options={'train_cfg.max_iters': 9})


def test_newest_best_checkpoint_or_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="needs default_hooks.checkpoint.save_best='mIoU'"):
        best_checkpoint(tmp_path)
    for time, name in enumerate(('best_mIoU_iter_9.pth', 'best_mIoU_iter_10.pth')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    assert best_checkpoint(tmp_path).endswith('iter_10.pth')
