import numpy as np
import pytest
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.dataset import DefaultSampler
from mmseg.registry import DATASETS

from mmseg_deeplabv3x.data_check import check_before_testing, check_before_training, check_data
from mmseg_deeplabv3x.datasets import BootstrapDataset, EqualSizeBatchSampler
from mmseg_deeplabv3x.datasets.file_backends import file_backend

LOADERS = ('train_dataloader', 'val_dataloader')


def pipeline(backend_args, checked=True):
    ours = 'Checked' if checked else ''
    image = 'LoadCheckedImage' if checked else 'LoadImageFromFile'
    return [
        dict(type=image, backend_args=backend_args),
        dict(type=f'Load{ours}Annotations', backend_args=backend_args),
    ]


@pytest.fixture(params=['transforms', 'dataset and transforms'])
def elsewhere(data, to_memory, request):
    """A config of data of which nothing but the lists is on a disk."""
    numbers = range(11)
    backend_args = to_memory(*map(data.image, numbers), *map(data.mask, numbers))
    for folder in ('images', 'masks'):
        (data.root / folder).rmdir()
    changes = dict(pipeline=pipeline(backend_args))
    if request.param != 'transforms':
        lists = data.root / 'train.txt', data.root / 'val.txt'
        to_memory(*lists)
        for path in lists:  # mmseg asks that they are there, too
            path.touch()
        changes['backend_args'] = backend_args
    cfg = data.config(data.dataset('train', **changes))
    cfg.val_dataloader = cfg.test_dataloader = dict(dataset=data.dataset('val', **changes))
    return cfg


def test_the_checks_read_through_it(elsewhere, data, to_memory):
    check_before_training(elsewhere, LOADERS)
    check_before_testing(elsewhere)
    report = check_data(elsewhere)
    assert report.problems == [] and report.pixels[0].sum() == 8 * 108
    data.mask(2).parent.mkdir()
    data.write_mask(2, np.full((10, 12), 9, np.uint8))
    to_memory(data.mask(2))
    (found,) = check_data(elsewhere).problems
    assert found.kind == 'ids' and '9 (120 pixels)' in found.message


def test_bootstrapping_counts_through_it(elsewhere):
    dataset = BootstrapDataset(elsewhere.train_dataloader.dataset, ['pole'], times=3)
    assert dataset.indices.tolist() == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7, 7]
    assert dataset[3]['gt_seg_map'][0, 0] == 3


def test_sizes_are_read_through_it(elsewhere):
    dataset = DATASETS.build(elsewhere.train_dataloader.dataset)
    batches = EqualSizeBatchSampler(DefaultSampler(dataset, shuffle=False), 8)
    assert list(batches) == [list(range(8))]


@pytest.mark.parametrize('checked', [False, True])
def test_the_loading_steps_say_which_backend(data, checked):
    wrapped = dict(type='RepeatDataset', times=2, dataset=data.dataset('train'))
    for given in (None, dict(backend='memory')):
        wrapped['dataset']['pipeline'] = pipeline(given, checked)
        dataset = DATASETS.build(dict(type='ConcatDataset', datasets=[wrapped]))
        for loader in (LoadAnnotations, LoadImageFromFile):
            assert file_backend(dataset, loader) == given
    assert file_backend([1, 2], LoadImageFromFile) is None
