"""Bad samples are replaced in a way that repeats, counted over all workers, and limited."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from mmseg_deeplabv3x.datasets.reading import BadSampleError


@pytest.fixture
def data(tmp_path):
    """Config of a dataset of 8 images, of which 2, 3 and 7 are bad."""
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for i in range(8):
        Image.new('RGB', (6, 4)).save(tmp_path / f'images/{i}.jpg')
        Image.fromarray(np.full((4, 6), i, np.uint8)).save(tmp_path / f'masks/{i}.png')
    (tmp_path / 'images/2.jpg').write_bytes(b'')
    (tmp_path / 'masks/3.png').unlink()
    Image.new('L', (3, 3)).save(tmp_path / 'masks/7.png')
    return dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('a', 'b')),
        pipeline=[dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations')],
    )


def tolerant(data, **options):
    return DATASETS.build(dict(type='FaultTolerantDataset', dataset=data, **options))


def number(sample):
    return int(sample['gt_seg_map'][0, 0])


def test_the_next_good_sample_stands_in(data):
    dataset = tolerant(data, on_bad_sample='skip')
    for _ in range(2):
        assert [number(dataset[i]) for i in range(8)] == [0, 1, 4, 4, 4, 5, 6, 0]
    assert len(dataset) == 8
    assert dataset.metainfo['classes'] == ('a', 'b')
    assert dataset.get_data_info(3)['img_path'].endswith('3.jpg')


@pytest.mark.parametrize('options', [{}, dict(on_bad_sample='raise')])
def test_by_default_the_first_one_ends_the_run(data, options):
    dataset = tolerant(data, **options)
    assert number(dataset[1]) == 1
    with pytest.raises(BadSampleError, match='2.jpg is empty'):
        dataset[2]


def test_errors_of_stock_transforms_are_not_skipped(data):
    data['pipeline'] = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    with pytest.raises(FileNotFoundError) as error:
        tolerant(data, on_bad_sample='skip')[3]
    assert not isinstance(error.value, BadSampleError)


def first(samples):
    return number(samples[0])


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_count_together(data, workers):
    dataset = tolerant(data, on_bad_sample='skip', max_bad_samples=2)
    loader = DataLoader(dataset, sampler=range(7), num_workers=workers, collate_fn=first)
    for _ in range(2):  # a sample that is bad in each epoch is one bad sample
        assert list(loader) == [0, 1, 4, 4, 4, 5, 6]
    with pytest.raises(BadSampleError, match='3 of 8 samples are bad, and max_bad_samples is 2'):
        dataset[7]


@pytest.mark.parametrize('workers', [0, 2])
def test_each_is_logged_once_with_its_number(data, tmp_path, workers):
    MMLogger.get_instance(f'tolerant{workers}', log_file=str(tmp_path / 'log'))
    loader = DataLoader(tolerant(data, on_bad_sample='skip'), num_workers=workers, collate_fn=first)
    for _ in range(2):
        list(loader)
    lines = (tmp_path / 'log').read_text().splitlines()
    assert sorted(line.split('of at most')[0][-2] for line in lines) == ['1', '2', '3']
    for file in ('2.jpg is empty', '3.png does not exist', '7.png has 3x3'):
        assert sum(file in line for line in lines) == 1


def test_nothing_but_bad_samples_ends_too(data):
    data['indices'] = [2, 3]
    with pytest.raises(BadSampleError, match='2 of 2 samples are bad'):
        tolerant(data, on_bad_sample='skip')[0]


@pytest.mark.parametrize(
    'options', [dict(on_bad_sample='ignore'), dict(max_bad_samples=0), dict(max_bad_samples='10')]
)
def test_arguments_are_checked(data, options):
    with pytest.raises(ValueError, match=f'{next(iter(options))} must be'):
        tolerant(data, **options)
