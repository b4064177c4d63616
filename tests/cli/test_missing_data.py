"""Missing data ends a tool with a sentence before anything is built."""

from pathlib import Path

import pytest

from mmseg_deeplabv3x.cli.test import test as run_test
from mmseg_deeplabv3x.cli.train import train

CONFIG = str(Path(__file__).parents[2] / 'configs/deeplabv3x_r101_os8_voc.py')


@pytest.mark.parametrize('run', [train, run_test])
def test_missing_data_is_a_sentence_of_the_tool(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('weights.pth').touch()
    options = [f'{loader}_dataloader.dataset.data_root=nowhere' for loader in ('train', 'test')]
    with pytest.raises(SystemExit, match='PascalVOCDataset finds no nowhere: `python tools/prep'):
        run([CONFIG, *['weights.pth'] * (run is run_test), '--cfg-options', *options])
