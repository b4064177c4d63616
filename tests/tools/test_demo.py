from __future__ import annotations

import re
import runpy
from pathlib import Path

import demo
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def same_folder(monkeypatch):
    """The demo changes into the checkout; the tests after it are where they were."""
    monkeypatch.chdir(Path.cwd())


@pytest.mark.slow
def test_the_demo_end_to_end(tmp_path, capfd, monkeypatch):
    """From no data to table and pictures; small, and trained for four iterations."""
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    data, work_dir = tmp_path / 'data', tmp_path / 'work'
    options = [f'{split}_dataloader.dataset.data_root={data}' for split in ('train', 'val', 'test')]
    options += [f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')]
    options += [
        f'{split}_dataloader.persistent_workers=False' for split in ('train', 'val', 'test')
    ]
    options += ['model.backbone.base_channels=8', 'model.decode_head.in_channels=64']
    options += ['model.decode_head.channels=16', 'train_dataloader.batch_size=2']
    options += ['train_cfg.max_iters=4', 'train_cfg.val_interval=4']
    (work_dir / 'old').mkdir(parents=True)
    demo.main(ROOT, data, work_dir, num_train=4, num_val=2, cfg_options=options)

    shown = capfd.readouterr().out
    assert [line for line in shown.splitlines() if re.match(r'\[\d/5\]', line)]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in shown.splitlines()
            if line.startswith('|')]  # fmt: skip
    assert rows[0] == ['IoU in %', *demo.EVALUATIONS, 'chance']
    assert rows[2][0] == 'background' and rows[-1][0] == 'mIoU'
    labels = np.concatenate([
        np.asarray(Image.open(data / 'SegmentationClass' / path.name)).ravel()
        for path in (work_dir / 'os16/ids').iterdir()
    ])  # fmt: skip
    background = np.mean(labels[labels != 255] == 0)
    assert float(rows[2][-1]) == pytest.approx(100 * background, abs=0.06)
    scores = [float(score) for score in rows[-1][1:4]]
    for (name, _), score in zip(demo.EVALUATIONS.values(), scores):
        assert len(list((work_dir / name / 'ids').glob('*.png'))) == 2
        assert len(list((work_dir / name / 'pictures').rglob('*.png'))) == 2
        # what the tool itself says, by another count
        logged = re.findall(r'mIoU: +([\d.]+)', (work_dir / f'{name}.log').read_text())
        assert float(logged[-1]) == pytest.approx(score, abs=0.06)
    assert not (work_dir / 'old').exists()


def script(tmp_path, *lines):
    path = tmp_path / 'tool.py'
    path.write_text('\n'.join(lines))
    return path


def test_a_failing_command_ends_the_demo_with_its_last_words(tmp_path, capsys):
    tool = script(tmp_path, 'import sys', 'print("so far so good", flush=True)', 'sys.exit("oops")')
    with pytest.raises(SystemExit) as stop, demo.step('a', 'A', {}):
        demo.call(tool, '--flag', log=f'{tmp_path}/tool.log')
    assert capsys.readouterr().out.rstrip().endswith(f'{tool} --flag'), 'the command is shown'
    message = str(stop.value)
    assert message.startswith('Failed: ') and 'so far so good\noops' in message
    assert 'Exit code 1' in message and f'{tmp_path}/tool.log' in message


def test_a_step_that_cannot_go_on_says_so_in_one_sentence():
    with pytest.raises(SystemExit, match='Failed: no room'), demo.step('a', 'A', {}):
        raise OSError('no room')


def test_asking_for_help_starts_nothing(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['demo.py', '--help'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / 'tools/demo.py'), run_name='__main__')
    assert stop.value.code == 0
    assert 'work_dirs/demo' in capsys.readouterr().out
