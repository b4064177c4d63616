"""``saved_by_tensorflow`` was written by the Saver of TensorFlow 2.21: variable number n of the
scope holds n, n + 1, n + 2, ..."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmseg_deeplabv3x.weights.tensor_bundle import bundle_index, read_bundle

FOLDER = Path(__file__).parent / 'saved_by_tensorflow'
INDEX = FOLDER / 'model.ckpt.index'
UNIT = 'resnet_v1_50/block1/unit_1/bottleneck_v1'
SHAPES = {'shortcut': (1, 1, 3, 4), 'conv1': (1, 1, 3, 2), 'conv2': (3, 3, 2, 2),
          'conv3': (1, 1, 2, 4)}  # fmt: skip


def test_values_that_tensorflow_wrote():
    tensors = read_bundle(INDEX)
    number = 1
    for scope, shape in SHAPES.items():
        expected = np.arange(np.prod(shape), dtype='f4').reshape(shape) + number
        np.testing.assert_array_equal(tensors.pop(f'{UNIT}/{scope}/weights'), expected)
        for name in ('gamma', 'beta', 'moving_mean', 'moving_variance'):
            number += 1
            expected = np.arange(shape[-1], dtype='f4') + number
            np.testing.assert_array_equal(tensors.pop(f'{UNIT}/{scope}/BatchNorm/{name}'), expected)
        number += 1
    assert tensors.pop('global_step') == 1234
    assert tensors.pop('flag').dtype == bool
    assert (tensors['empty_half'].shape, tensors.pop('empty_half').dtype) == ((0, 3), np.float16)
    assert not tensors  # but for a string


@pytest.mark.parametrize(
    'name', ['model.ckpt', 'model.ckpt.index', 'model.ckpt.data-00000-of-00001']
)
def test_named_in_any_way(name):
    assert bundle_index(FOLDER / name) == INDEX


def test_other_files_are_no_checkpoint_of_tensorflow(tmp_path):
    assert bundle_index(tmp_path / 'weights.pth') is None


def test_damaged_ones_end_in_one_sentence(tmp_path):
    shutil.copy(FOLDER / 'model.ckpt.data-00000-of-00001', tmp_path)
    good, index = INDEX.read_bytes(), tmp_path / INDEX.name
    rng = random.Random(0)
    for _ in range(300):
        bad = bytearray(good[: rng.choice([len(good), rng.randrange(len(good))])])
        for _ in range(3):
            if bad:
                bad[rng.randrange(len(bad))] = rng.randrange(256)
        index.write_bytes(bad)
        try:
            read_bundle(index)
        except (ValueError, OSError) as error:
            assert str(error)


def test_missing_data_file_is_named(tmp_path):
    shutil.copy(INDEX, tmp_path)
    with pytest.raises(FileNotFoundError, match='data-00000-of-00001'):
        read_bundle(tmp_path / INDEX.name)
