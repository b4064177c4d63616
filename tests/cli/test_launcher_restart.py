from __future__ import annotations

import pytest
import torch

from mmseg_deeplabv3x.cli import train as cli_train
from mmseg_deeplabv3x.cli.launcher_restart import is_restarted_by_launcher

NAMES = ('TORCHELASTIC_MAX_RESTARTS', 'SLURM_RESTART_COUNT')


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize('name', NAMES)
def test_launchers_tell_that_they_restart(name, monkeypatch):
    assert not is_restarted_by_launcher()
    monkeypatch.setenv(name, '0')
    assert not is_restarted_by_launcher()
    monkeypatch.setenv(name, '2')
    assert is_restarted_by_launcher()


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
