import json
import os
import shutil

import pytest

from mmseg_deeplabv3x.report.run import read_runs

SCREEN = """\
2026/11/27 11:00:00 - mmengine - INFO -\x20
    PyTorch: 2.13.0+cpu
    numpy_random_seed: 7
    seed: 3
2026/11/27 11:00:01 - mmengine - INFO -\x20
  Config    configs/my.py
  Command   tools/train.py configs/my.py --seed 3
  Device    cpu; processes: 1
  Schedule  iterations 1 to 60; SGD from a learning rate of 0.1
  Log       work_dirs/my/a/a.log
2026/11/27 11:00:09 - mmengine - INFO - Iter(train) [ 5/60]  lr: 0.1
2026/11/27 12:10:00 - mmengine - INFO - Iter(train) [60/60]  lr: 0.1
"""


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'my'
    for time, lines in (
        (
            '20261127_110000',
            [
                dict(loss=3.0, step=10, mIoU=5),
                dict(loss=2.0, step=20),
                dict(loss=1.9, step=40),
                dict(mIoU=60, step=40),
            ],
        ),
        ('20261127_120000', [dict(loss=1.5, step=20), dict(loss=1.0, step=30)]),
    ):
        log = folder / time / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        log.write_text('\n'.join(map(json.dumps, lines)) + '\n{"loss": 0.')
        (folder / time / f'{time}.log').write_text(SCREEN)
    return folder


def test_what_a_resume_or_a_new_start_runs_again_counts_as_it_is_run_then(work_dir):
    run = read_runs([str(work_dir)])[0]
    assert run.name == 'my'
    assert run.scalars == dict(loss=([10, 20, 30], [3.0, 1.5, 1.0]), mIoU=([10], [5]))


def test_set_up_is_what_the_log_said_at_the_start(work_dir):
    setup = read_runs([str(work_dir)])[0].setup
    assert setup['Config'] == 'configs/my.py'
    assert setup['Device'] == 'cpu; processes: 1'
    assert setup['PyTorch'] == '2.13.0+cpu'
    assert setup['Command'] == 'tools/train.py configs/my.py --seed 3' and setup['seed'] == '3'
    assert setup['Time'] == '2:20:00'  # of two starts


def test_an_evaluation_in_the_work_dir_is_not_the_training(work_dir):
    lines = [line for line in SCREEN.splitlines() if 'Schedule' not in line]
    log = work_dir / '20261127_130000/20261127_130000.log'
    log.parent.mkdir()
    log.write_text('\n'.join(lines).replace('configs/my.py', 'other.py'))
    setup = read_runs([str(work_dir)])[0].setup
    assert (setup['Config'], setup['Time']) == ('configs/my.py', '2:20:00')


def test_the_best_checkpoint_comes_before_a_newer_one(work_dir):
    assert read_runs([str(work_dir)])[0].checkpoint is None
    (work_dir / 'best_mIoU_iter_20.pth').touch()
    (work_dir / 'iter_30.pth').touch()
    assert read_runs([str(work_dir)])[0].checkpoint.name == 'best_mIoU_iter_20.pth'
    (work_dir / 'best_mIoU_iter_20.pth').unlink()
    assert read_runs([str(work_dir)])[0].checkpoint.name == 'iter_30.pth'


@pytest.mark.parametrize('kind', ['best_mIoU_', ''])
def test_of_checkpoints_of_one_kind_the_newest_is_taken(work_dir, kind):
    for name, seconds in (('iter_10', 1), ('iter_30', 3), ('iter_20', 2)):
        path = work_dir / f'{kind}{name}.pth'
        path.touch()
        os.utime(path, (seconds, seconds))
    assert read_runs([str(work_dir)])[0].checkpoint.name == f'{kind}iter_30.pth'


def test_runs_of_one_name_are_told_apart(work_dir, tmp_path):
    other = tmp_path / 'other/my'
    shutil.copytree(work_dir, other)
    paths = [str(work_dir), str(other)]
    assert [run.name for run in read_runs(paths)] == paths


@pytest.mark.parametrize('name', ['', 'nowhere'])
def test_another_folder_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match='is no work dir of a training'):
        read_runs([str(tmp_path / name)])
