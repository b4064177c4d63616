"""What is wrong with data is said before it costs a training, with the real command lines."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(shapes_root, tmp_path):
    """A copy of the dataset, to be damaged."""
    return Path(shutil.copytree(shapes_root, tmp_path / 'data'))


def run_on(tool, data, tiny_config, run_tool, tmp_path, *checkpoint, **changes):
    """What a tool says of the data, from its first line on; it must refuse it in plain words."""
    roots = {
        f'{split}_dataloader.dataset.data_root': str(data) for split in ('train', 'val', 'test')
    }
    config = tiny_config(tmp_path.name, {**roots, **changes})
    output = run_tool(tool, config, *checkpoint, '--work-dir', tmp_path / 'work', status=1)
    assert 'Traceback' not in output
    return output[output.index(f'{tool}: ') :]


def save_mask(data, name, ids):
    Image.fromarray(ids).save(data / 'SegmentationClass' / f'{name}.png')


def test_files_that_are_bad_are_named_with_their_fault(data, tiny_config, run_tool, tmp_path):
    names = [path.stem for path in sorted((data / 'JPEGImages').glob('train_*'))]
    images = [data / 'JPEGImages' / f'{name}.jpg' for name in names]
    masks = [data / 'SegmentationClass' / f'{name}.png' for name in names]
    images[0].write_bytes(images[0].read_bytes()[:900])
    images[1].write_bytes(b'')
    save_mask(data, names[2], np.zeros((72, 95), np.uint8))
    save_mask(data, names[3], np.full((72, 96), 37, np.uint8))
    save_mask(data, names[4], np.zeros((72, 96, 3), np.uint8))
    split = data / 'ImageSets/Segmentation/train.txt'
    split.write_text(split.read_text() + '\n\n')  # blank lines are no images
    said = run_on('train.py', data, tiny_config, run_tool, tmp_path)
    assert said.startswith('train.py: Problems with the data: 5\n')
    for sentence in (
        f'{images[0]} is truncated',
        f'{images[1]} is empty',
        f'The mask {masks[2]} has 72x95 pixels and its image {images[2]} 72x96',
        f'The mask {masks[3]} holds ids that are no class: 37 (6912 pixels)',
        f'The mask {masks[4]} is RGB, expected a palette or gray image',
    ):
        assert said.count(sentence) == 1, sentence


def test_files_that_are_missing_are_found_at_the_start(data, tiny_config, run_tool, tmp_path):
    image, _, mask = sorted((data / 'JPEGImages').glob('train_*'))[:3]
    mask = data / 'SegmentationClass' / f'{mask.stem}.png'
    for path in (image, mask):
        path.unlink()
    (data / 'ImageSets/Segmentation/val.txt').write_text('\n')
    said = run_on('train.py', data, tiny_config, run_tool, tmp_path)
    for sentence in (f'{image} does not exist', f'{mask} does not exist', 'val.txt is empty'):
        assert said.count(sentence) == 1, sentence


def test_a_label_out_of_range_gives_no_score(data, tiny_config, run_tool, tmp_path, trained):
    """mmseg's metric gives a wrong one."""
    save_mask(data, 'val_00001', np.full((72, 96), 37, np.uint8))
    metric = dict(test_evaluator=dict(type='ConfusionIoUMetric'))
    said = run_on('test.py', data, tiny_config, run_tool, tmp_path, trained[1], **metric)
    mask = data / 'SegmentationClass/val_00001.png'
    assert said.startswith(f'test.py: {mask}: label 37 (6912 pixels) is no class; expected 0 to 8')
