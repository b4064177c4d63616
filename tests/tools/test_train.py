"""The life of a run, with the real command lines; how the options are read is in test_cli.py."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_deeplabv3x.engine.checkpoints.resume import read_checkpoint

LOSS = re.compile(r'Iter\(train\) \[(\d+)/\d+\].*lr: (\S+).* loss: (\S+)')


def training(output):
    """{iteration: (learning rate, loss)} from what training printed."""
    return {int(i): (float(rate), float(loss)) for i, rate, loss in LOSS.findall(output)}


def log_of(work_dir):
    """The log file of the newest run, which has what the console leaves out."""
    return max(work_dir.glob('*/*.log')).read_text()


def warned(output):
    return [line for line in output.splitlines() if re.search('warn', line, re.IGNORECASE)]


@pytest.fixture(scope='module')
def trained(tiny_config, run_tool, tmp_path_factory):
    """(config, work dir, output) of a run of 4 iterations, trained by tools/train.py itself."""
    work_dir = tmp_path_factory.mktemp('work') / 'trained'
    config = tiny_config('life')
    line = (config, '--work-dir', work_dir, '--seed', 3)
    options = ('--cfg-options', 'train_dataloader.num_workers=1')
    return config, work_dir, run_tool('train.py', *line, *options)


def test_training_logs_validates_and_saves(trained):
    _, work_dir, output = trained
    assert sorted(training(output)) == [1, 2, 3, 4]
    assert re.search(r'^ *seed: 3$', log_of(work_dir), re.MULTILINE)
    assert re.search(r'Iter\(val\) \[3/3\].*mIoU: ', output)
    assert {'iter_2.pth', 'iter_4.pth', 'last_checkpoint'} <= {p.name for p in work_dir.iterdir()}
    assert warned(output) == []


@pytest.fixture(scope='module')
def later(trained, tiny_config, in_one_process, tmp_path_factory):
    """What is done with a trained model, each in its folder of ``root``, and what was printed."""
    config, work_dir, _ = trained
    root = tmp_path_factory.mktemp('later')
    shutil.copytree(work_dir, root / 'copied')
    hidden = work_dir.rename(work_dir.with_name('hidden'))  # the copy must not lean on it
    weights = hidden / 'iter_4.pth'
    longer = ['--cfg-options', 'train_cfg.max_iters=6', 'visualizer.name=resumed']
    amp = tiny_config('amp', {'train_cfg.max_iters': 1, 'load_from': str(weights)})
    # a config for each: mmengine's logger goes by its name and the second
    drawn, tta = tiny_config('drawn'), tiny_config('views')
    once, again, other = (tiny_config(name, {'train_cfg.max_iters': 2}) for name in 'abc')
    lines = dict(
        resumed=('train.py', config, '--work-dir', root / 'copied', '--resume', *longer),
        drawn=('test.py', drawn, weights, '--work-dir', root / 'drawn')
        + ('--show-dir', root / 'pictures', '--out', root / 'masks'),
        tta=('test.py', tta, weights, '--work-dir', root / 'tta', '--tta'),
        amp=('train.py', amp, '--work-dir', root / 'amp', '--amp'),
        once=('train.py', once, '--work-dir', root / 'once', '--seed', 1),
        again=('train.py', again, '--work-dir', root / 'again', '--seed', 1),
        other=('train.py', other, '--work-dir', root / 'other', '--seed', 2),
    )
    return root, dict(zip(lines, in_one_process(lines.values())))


def test_a_copied_work_dir_resumes_to_more_iterations(later):
    root, output = later
    steps = training(output['resumed'])
    assert sorted(steps) == [5, 6]
    assert f'Resume: going on from {root}/copied/iter_4.pth.' in output['resumed']
    for iteration in (5, 6):
        expected = 0.007 * (1 - (iteration - 1) / 6) ** 0.9
        assert steps[iteration][0] == pytest.approx(expected, rel=1e-4)
    assert re.search(r'^ *seed: 3$', log_of(root / 'copied'), re.MULTILINE)
    saved = read_checkpoint(str(root / 'copied/iter_6.pth'))
    assert saved['meta']['iter'] == 6


def test_show_dir_has_a_picture_and_out_a_mask_of_every_image(later, shapes_root):
    root, output = later
    names = (shapes_root / 'ImageSets/Segmentation/val.txt').read_text().split()
    assert sorted(p.stem for p in (root / 'masks').iterdir()) == sorted(names)
    pictures = [p.name for p in (root / 'pictures').iterdir()]
    assert len(pictures) == len(names)
    assert all(any(name in picture for picture in pictures) for name in names)
    mask = Image.open(root / 'masks' / f'{names[0]}.png')
    assert mask.size == (96, 72)
    assert np.asarray(mask).max() < 9
    assert '|    ring    |' in output['drawn'], 'the table by class'


def test_tta_evaluates(later):
    assert re.search(r'Iter\(test\) \[3/3\].*mIoU: ', later[1]['tta'])
    assert re.search(r'Model +SegTTAModel of DeepLabV3 of ', later[1]['tta'])


def test_amp_trains_in_bfloat16_from_given_weights(later):
    root, output = later
    assert "type='AutocastOptimWrapper'" in log_of(root / 'amp')
    assert re.search(rf'Weights +{root.parent}/.*/iter_4.pth\n', output['amp'])
    assert sorted(training(output['amp'])) == [1]
    saved = read_checkpoint(str(root / 'amp/iter_1.pth'))['state_dict']
    assert all(value.dtype in (torch.float32, torch.int64) for value in saved.values())


def test_one_seed_is_one_run(later):
    _, output = later
    once, again, other = (training(output[name]) for name in ('once', 'again', 'other'))
    assert len(once) == 2
    assert once == again
    assert once != other


def test_bad_data_ends_a_training_before_it_begins(shapes_root, tiny_config, run_tool, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(shapes_root, data)
    mask = data / 'SegmentationClass/train_00003.png'
    Image.fromarray(np.full((72, 96), 77, np.uint8)).save(mask)
    config = tiny_config('bad', {'train_dataloader.dataset.data_root': str(data)})
    output = run_tool('train.py', config, '--work-dir', tmp_path / 'work', status=1)
    assert f'The mask {mask} holds ids that are no class: 77 (6912 pixels);' in output
    assert output.splitlines()[0] == 'train.py: Problems with the data: 1'
    assert 'Traceback' not in output
    assert not (tmp_path / 'work').exists()


def test_no_warning_that_a_user_can_do_nothing_about(later):
    assert {name: warned(output) for name, output in later[1].items()} == dict.fromkeys(
        later[1], []
    )
