from __future__ import annotations

import pytest

from mmseg_deeplabv3x.engine.restarts import check_fresh_start, was_restarted

NAMES = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT', 'TORCHELASTIC_MAX_RESTARTS')


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('name', NAMES[:2])
def test_launchers_tell_of_a_restart(name, monkeypatch):
    assert not was_restarted()
    monkeypatch.setenv(name, '0')
    assert not was_restarted()
    monkeypatch.setenv(name, '2')
    assert was_restarted()


def test_checkpoints_of_another_run_are_refused_where_torchrun_may_restart(tmp_path, monkeypatch):
    check_fresh_start(str(tmp_path))
    (tmp_path / 'iter_4.pth').write_bytes(b'')
    check_fresh_start(str(tmp_path))
    monkeypatch.setenv('TORCHELASTIC_MAX_RESTARTS', '3')
    with pytest.raises(ValueError, match=r'^MAX_RESTARTS needs .* found .*iter_4\.pth: choose'):
        check_fresh_start(str(tmp_path))
