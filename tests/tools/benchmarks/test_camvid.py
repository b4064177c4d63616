import argparse
import json
import re
import signal
import textwrap
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from benchmarks import camvid
from benchmarks.camvid_variants import VARIANTS
from common.child_process import CommandError
from mmengine.config import Config

from mmseg_deeplabv3x.datasets import CamVidDataset


def options(*argv):
    parser = argparse.ArgumentParser()
    camvid.add_arguments(parser)
    return parser.parse_args(list(map(str, argv)))


@pytest.fixture
def data(tmp_path):
    """CamVid with two images a split, 48x64, of blocks of 2x2 pixels."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name in 'ab':
            rows, columns = np.mgrid[:48, :64]
            image = np.stack([2 * rows + columns, 3 * columns, 200 - 3 * rows], -1)
            image = (image + rng.integers(0, 50)).astype(np.uint8)
            mask = rng.integers(0, 11, (24, 32), np.uint8).repeat(2, 0).repeat(2, 1)
            files = {f'images/{split}/{name}.jpg': image, f'annotations/{split}/{name}.png': mask}
            for file, pixels in files.items():
                path = tmp_path / 'camvid' / file
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels)
    return tmp_path / 'camvid'


@pytest.fixture
def trains(monkeypatch, tmp_path):
    """``trains(code)``: runs in place of each training, with its folder as ``folder``."""

    def write(code):
        script = tmp_path / 'train.py'
        script.write_text(
            'import json, os, sys, time\nfrom pathlib import Path\n'
            'config, flag, folder, resume = sys.argv[1:]\nfolder = Path(folder)\n'
            'assert Path(config).stem == folder.name and resume == "--resume"\n'
            'def finish():\n    (folder / "curve.json").write_text(\'{"8": {"mIoU": 5.0}}\')\n'
            + textwrap.dedent(code)
        )
        monkeypatch.setattr(camvid, 'TRAIN', script)
        return script

    return write


@pytest.fixture
def folders(tmp_path):
    paths = [tmp_path / 'a_0', tmp_path / 'b_0']
    for path in paths:
        path.mkdir()
    return paths


def test_halves_images_and_masks_once(data, tmp_path):
    camvid.halve(data, tmp_path / 'half')
    mask = cv2.imread(str(tmp_path / 'half/annotations/val/a.png'), cv2.IMREAD_UNCHANGED)
    original = cv2.imread(str(data / 'annotations/val/a.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask.repeat(2, 0).repeat(2, 1), original)
    image = cv2.imread(str(tmp_path / 'half/images/train/b.jpg'))
    assert image.shape == (24, 32, 3)
    np.testing.assert_allclose(
        image.mean((0, 1)), cv2.imread(str(data / 'images/train/b.jpg')).mean((0, 1)), atol=2
    )
    whole = cv2.imread(str(data / 'images/train/b.jpg')).astype(float)
    difference = image - whole.reshape(24, 2, 32, 2, 3).mean((1, 3))
    # each pixel but for JPEG's rounding, which goes both ways: no pixel of the four is preferred
    assert abs(difference).max() < 8 and abs(difference.mean((0, 1))).max() < 0.5
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'half').rglob('*.*')}
    assert len(times) == 8
    camvid.halve(data, tmp_path / 'half')
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize(
    'argv, message',
    [
        (['--jobs', 0], 'argument --jobs: .*0'),
        (['--seeds', -1], 'argument --seeds: .*-1'),
        (['--weights', 'nowhere.pth'], 'argument --weights: .*nowhere.pth'),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(argv, message, capsys):
    with pytest.raises(SystemExit):
        options(*argv)
    assert re.search(message, capsys.readouterr().err)


def test_without_data_it_says_where_to_get_them(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'--data .*nowhere has no .*prepare_data.py camvid'
    ):
        camvid.halve(tmp_path / 'nowhere', tmp_path / 'half')


@pytest.mark.parametrize('name', VARIANTS)
def test_every_variant_has_the_same_budget(name, tmp_path):
    args = options('--iterations', 40, '--batch-size', 4, '--work-dir', tmp_path)
    folder = camvid.prepare(name, 3, args)
    cfg = Config.fromfile(camvid.config_of(folder))
    assert folder.name == f'{name}_3' and cfg.randomness.seed == 3
    assert cfg.train_cfg.max_iters == 40 and cfg.train_cfg.val_interval == 10
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.param_scheduler[0].get('end', 40) == 40
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = loader.dataset.get('dataset', loader.dataset)
        assert dataset.data_root == str(tmp_path / 'data')


def test_a_training_with_other_settings_is_not_taken_for_this_one(tmp_path):
    first = camvid.prepare('ours_r18', 0, options('--work-dir', tmp_path))
    assert camvid.prepare('ours_r18', 0, options('--work-dir', tmp_path)) == first
    with pytest.raises(ValueError, match='ours_r18_0 is a training with other settings'):
        camvid.prepare('ours_r18', 0, options('--work-dir', tmp_path, '--iterations', 40))


def test_a_finished_training_is_not_repeated_and_a_broken_one_goes_on(folders, trains):
    trains('print("run"); finish()')
    (folders[0] / 'curve.json').write_text('{"8": {"mIoU": 7.0}}')
    (folders[1] / 'curve.json').write_text('{"4": {"mIoU": 1.0}}')
    camvid.train_all(folders, 8, jobs=1)
    assert [camvid.read_curve(folder)[8]['mIoU'] for folder in folders] == [7.0, 5.0]
    assert not (folders[0] / 'log.txt').exists()
    assert (folders[1] / 'log.txt').read_text() == 'run\n'


def test_two_train_side_by_side(folders, trains, capsys):
    trains(
        """
        (folder / 'here').touch()
        ends = time.monotonic() + 20
        while len(list(folder.parent.glob('*/here'))) < 2:
            assert time.monotonic() < ends, 'alone'
            time.sleep(0.02)
        finish()
        """
    )
    camvid.train_all(folders, 8, jobs=2)
    assert 'Iterations of 2 trainings: 16 of 16' in capsys.readouterr().out


def test_where_one_fails_the_other_is_told_to_end(folders, trains):
    trains(
        """
        import signal
        def told(*_):
            (folder / 'told').touch()
            raise SystemExit(143)
        signal.signal(signal.SIGTERM, told)
        (folder / 'here').touch()
        while len(list(folder.parent.glob('*/here'))) < 2:
            time.sleep(0.02)
        if folder.name == 'a_0':
            raise SystemExit('no memory')
        time.sleep(30)
        """
    )
    with pytest.raises(CommandError, match=r'no memory\nExit code 1; all of it: .*a_0/log.txt'):
        camvid.train_all(folders, 8, jobs=2)
    assert (folders[1] / 'told').exists()


def test_sigterm_reaches_the_trainings(folders, trains):
    """Also where the first of them, which came before the others, has ended."""
    trains(
        """
        import signal
        if folder.name == 'a_0':
            finish()
            raise SystemExit
        signal.signal(signal.SIGTERM, lambda *_: ((folder / 'told').touch(), sys.exit(143)))
        while not (folder.parent / 'a_0' / 'curve.json').exists():
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(30)
        """
    )
    lost = []
    before = signal.signal(signal.SIGTERM, lambda *_: lost.append('SIGTERM'))
    try:
        with pytest.raises(SystemExit) as ended:
            camvid.train_all(folders, 8, jobs=2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143 and not lost
    assert (folders[1] / 'told').exists()


def test_a_repeated_evaluation_takes_the_older_ones_place(tmp_path):
    hook = camvid.CurveHook()
    for iteration, miou in ((10, 1.0), (20, 2.0), (20, 3.0)):
        runner = SimpleNamespace(work_dir=str(tmp_path), iter=iteration)
        hook.after_val_epoch(runner, dict(mIoU=np.float64(miou)))
    assert camvid.read_curve(tmp_path) == {10: {'mIoU': 1.0}, 20: {'mIoU': 3.0}}


def test_the_end_is_evaluated_at_other_output_strides_too(tmp_path):
    strides, seen = dict(train=16, test=16), []

    class Loop:
        def run(self):
            seen.append(strides['test'])
            hook.after_val_epoch(runner, dict(mIoU=np.float64(strides['test'])))

    runner = SimpleNamespace(work_dir=str(tmp_path), iter=5, max_iters=10, val_loop=Loop())
    runner.model = SimpleNamespace(output_strides=strides)
    for began in ('from the start', 'resumed after the last step'):
        hook = camvid.CurveHook(others=(8, 32))
        if began == 'from the start':
            hook.after_val_epoch(runner, dict(mIoU=np.float64(1.0)))
            runner.iter = 10
            hook.after_val_epoch(runner, dict(mIoU=np.float64(16.0)))
            assert list(camvid.read_curve(tmp_path)) == [5], 'the last one is not yet complete'
        hook.after_train(runner)
        assert camvid.read_curve(tmp_path) == {
            5: {'mIoU': 1.0},
            10: {'mIoU': 16.0, 'os8/mIoU': 8.0, 'os32/mIoU': 32.0},
        }
        assert strides == dict(train=16, test=16)
    assert seen == [8, 32, 16, 8, 32]


def test_a_variant_keeps_its_own_batch(tmp_path):
    args = options('--work-dir', tmp_path)
    for name, size in (('reference', 8), ('batch_2', 2), ('batch_16', 16)):
        cfg = Config.fromfile(camvid.config_of(camvid.prepare(name, 0, args)))
        assert cfg.train_dataloader.batch_size == size


def test_curves_become_tables_json_and_a_picture(data, tmp_path, monkeypatch, table_cells):
    scores = dict(mIoU=30.0, aAcc=70.0)
    scores |= {f'IoU/{name}': 30.0 for name in CamVidDataset.METAINFO['classes']}

    def train_all(folders, iterations, jobs):
        for folder in folders:
            (folder / 'curve.json').write_text(json.dumps({iterations: scores}))

    monkeypatch.setattr(camvid, 'train_all', train_all)
    work = tmp_path / 'work'
    names = ['ours_r18', 'mmseg_r18']
    argv = ['--data', data, '--work-dir', work, '--variants', *names, '--seeds', 2]
    text = camvid.run(options(*argv))
    assert [row[0] for row in table_cells(text)[1:3]] == names
    assert (work / 'results.md').read_text() == text + '\n'
    results = json.loads((work / 'results.json').read_text())
    assert results['curves']['mmseg_r18']['2']['800'] == scores
    assert cv2.imread(str(work / 'curves.png')) is not None


@pytest.mark.slow
def test_both_sides_train(data, tmp_path, table_cells):
    names = ['ours_r18', 'mmseg_r18']
    argv = ['--data', data, '--work-dir', tmp_path / 'work', '--variants', *names]
    args = options(*argv, '--seeds', 0, '--iterations', 2, '--batch-size', 2)
    text = camvid.run(args)
    logs = {log: log.read_bytes() for log in tmp_path.glob('work/*/log.txt')}
    assert len(logs) == 2 and camvid.run(args) == text  # nothing is repeated
    assert {log: log.read_bytes() for log in logs} == logs
    assert [row[0] for row in table_cells(text)[1:3]] == names
    assert 'nan' not in text
