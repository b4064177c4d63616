from unittest import mock

import numpy as np
import pytest
import torch.distributed
import torch.multiprocessing
from mmengine.dataset import ConcatDataset
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_deeplabv3x.datasets import BootstrapDataset, class_index
from mmseg_deeplabv3x.datasets import bootstrap as bootstrap_module

# Pixels of chair, pot and sky in five images; the rest is ground.
PIXELS = [(0, 0, 9), (5, 0, 0), (0, 0, 0), (1, 2, 0), (0, 0, 3)]


@DATASETS.register_module()
class TinyDataset(BaseSegDataset):
    METAINFO = dict(
        classes=('ground', 'chair', 'pot', 'sky', 'never'), palette=[[i, i, i] for i in range(5)]
    )


def make(root):
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    for i, pixels in enumerate(PIXELS):
        Image.new('RGB', (6, 6)).save(root / f'images/{i}.jpg')
        labels = np.zeros(36, np.uint8)
        labels[: sum(pixels)] = np.repeat([1, 2, 3], pixels)
        labels[-1] = 255
        Image.fromarray(labels.reshape(6, 6)).save(root / f'masks/{i}.png')


def test_a_hard_class_above_255(tmp_path):
    make(tmp_path)
    for i, path in enumerate(sorted((tmp_path / 'masks').iterdir())):
        Image.fromarray(np.uint16([[0, 255, 65535, 700 if i == 1 else 1]])).save(path)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=[str(i) for i in range(1000)]),
    )
    boosted = BootstrapDataset(dataset, ['700'], 3)
    assert np.bincount(boosted.indices)[:2].tolist() == [1, 3]
    assert boosted.get_cat_ids(1) == [0, 255, 700]


def test_masks_of_8_bits_among_a_thousand_classes(tmp_path):
    make(tmp_path)
    for i, path in enumerate(sorted((tmp_path / 'masks').iterdir())):
        Image.fromarray(np.uint8([[0, 1, 255 if i == 1 else 2]])).save(path)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=[str(i) for i in range(1000)]),
        reduce_zero_label=True,
    )
    boosted = BootstrapDataset(dataset, ['254'], 3)
    assert np.bincount(boosted.indices)[:2].tolist() == [1, 3]
    assert boosted.get_cat_ids(1) == [0, 254]


@pytest.fixture
def tiny(tmp_path):
    make(tmp_path / 'tiny')
    return dict(
        type='TinyDataset',
        data_root=str(tmp_path / 'tiny'),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )


def bootstrap(dataset, hard_classes, times=3, **kwargs):
    return DATASETS.build(
        dict(
            type='BootstrapDataset',
            dataset=dataset,
            hard_classes=hard_classes,
            times=times,
            **kwargs,
        )
    )


def names(dataset):
    """The images of a dataset, in order, as their numbers."""
    return [int(dataset.get_data_info(i)['img_path'][-5]) for i in range(len(dataset))]


@pytest.mark.parametrize(
    ('hard_classes', 'expected'),
    [
        (['chair'], [0, 1, 1, 1, 2, 3, 3, 3, 4]),
        ([1], [0, 1, 1, 1, 2, 3, 3, 3, 4]),
        (['pot', 'sky'], [0, 0, 0, 1, 2, 3, 3, 3, 4, 4, 4]),
        (['chair', 'pot', 1], [0, 1, 1, 1, 2, 3, 3, 3, 4]),  # once, though it holds both
    ],
)
def test_images_with_a_hard_class_appear_times_times(tiny, hard_classes, expected):
    dataset = bootstrap(tiny, hard_classes)
    assert names(dataset) == expected
    assert [int(sample['img_path'][-5]) for sample in map(dataset.__getitem__, range(9))] == (
        expected[:9]
    )


def test_once_changes_nothing(tiny):
    assert names(bootstrap(tiny, ['chair'], times=1)) == [0, 1, 2, 3, 4]


def test_min_pixels(tiny):
    assert names(bootstrap(tiny, ['chair'], times=2, min_pixels=5)) == [0, 1, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="'chair' occurs in none of the 5 images .*min_pixels=6"):
        bootstrap(tiny, ['chair'], min_pixels=6)


def test_metainfo_and_classes_of_each_image(tiny):
    dataset = bootstrap(tiny, ['chair'], times=2)
    assert dataset.metainfo['classes'] == TinyDataset.METAINFO['classes']
    found = [dataset.get_cat_ids(i) for i in range(len(dataset))]
    assert found == [[0, 3], [0, 1], [0, 1], [0], [0, 1, 2], [0, 1, 2], [0, 3]]


def test_classes_are_those_after_label_map(tiny):
    tiny['metainfo'] = dict(classes=('pot', 'sky'))
    dataset = bootstrap(tiny, ['sky'], times=2)
    assert names(dataset) == [0, 0, 1, 2, 3, 4, 4]
    assert dataset.get_cat_ids(5) == [1] and dataset.get_cat_ids(2) == []


def test_classes_are_those_after_reduce_zero_label(tiny):
    tiny['reduce_zero_label'] = True
    # chair, pot, sky of the files are now ids 0, 1, 2, named ground, chair, pot
    assert names(bootstrap(tiny, ['chair'], times=2)) == [0, 1, 2, 3, 3, 4]


def test_wraps_wrappers_and_is_wrapped(tiny):
    twice = dict(type='RepeatDataset', dataset=tiny, times=2)
    both = dict(type='ConcatDataset', datasets=[twice, tiny])
    inner = names(bootstrap(both, ['pot'], times=2))
    assert inner == [0, 1, 2, 3, 3, 4] * 3
    nested = bootstrap(
        dict(type='BootstrapDataset', dataset=both, hard_classes=['pot'], times=2),
        ['chair'],
        times=2,
    )
    assert names(nested) == [0, 1, 1, 2, 3, 3, 3, 3, 4] * 3
    built = ConcatDataset([DATASETS.build(tiny), DATASETS.build(tiny)])
    assert len(BootstrapDataset(built, ['pot'], times=5)) == 18
    outer = DATASETS.build(
        dict(
            type='RepeatDataset',
            dataset=dict(type='BootstrapDataset', dataset=tiny, hard_classes=['pot'], times=2),
            times=2,
        )
    )
    assert names(outer) == [0, 1, 2, 3, 3, 4] * 2


def test_class_balanced_dataset_works_around_it(tiny):
    dataset = DATASETS.build(
        dict(
            type='ClassBalancedDataset',
            dataset=dict(type='BootstrapDataset', dataset=tiny, hard_classes=['pot'], times=1),
            oversample_thr=0.8,
        )
    )
    # pot is in 1 of 5 images, chair in 2, sky in 2: sqrt(.8 / .2) = 2, sqrt(.8 / .4) -> 2
    assert names(dataset) == [0, 0, 1, 1, 2, 3, 3, 4, 4]


def test_lazy_init_reads_nothing(tiny, monkeypatch):
    monkeypatch.setattr(class_index, 'read_mask', None)  # counting would fail
    tiny['lazy_init'] = True
    dataset = bootstrap(tiny, ['chair'], lazy_init=True)
    assert dataset.metainfo['classes'][1] == 'chair'
    monkeypatch.undo()
    dataset.full_init()
    assert len(dataset) == 9


def test_index_is_kept_in_the_data_root(tiny, tmp_path, monkeypatch):
    bootstrap(tiny, ['chair'])
    assert (tmp_path / 'tiny/class_index.npz').is_file()
    monkeypatch.setattr(class_index, 'read_mask', None)
    assert len(bootstrap(tiny, ['sky'])) == 9
    monkeypatch.undo()
    bootstrap(tiny, ['chair'], cache_file=tmp_path / 'deep/er/other.npz')
    assert (tmp_path / 'deep/er/other.npz').is_file()


def test_says_what_was_duplicated(tiny, monkeypatch):
    said = []
    monkeypatch.setattr(bootstrap_module, 'print_log', lambda text, logger: said.append(text))
    bootstrap(tiny, ['chair', 'pot'])
    assert said == ['BootstrapDataset: 2 of 5 images appear 3 times (chair 2, pot 1).']


@pytest.mark.parametrize(
    ('hard_classes', 'kwargs', 'message'),
    [
        (['sofa'], {}, "Hard class 'sofa' is unknown; the dataset has ground, chair, pot, sky"),
        ([5], {}, 'Hard class 5 is unknown'),
        ([-1], {}, 'Hard class -1 is unknown'),
        ([], {}, r'hard_classes must be a list of names or ids, got \[\]'),
        ('chair', {}, "hard_classes must be a list of names or ids, got 'chair'"),
        (['never'], {}, "Hard class 'never' occurs in none of the 5 images"),
        (['chair'], dict(times=0), 'times must be a whole number of at least 1, got 0'),
        (['chair'], dict(times=1.5), 'times must be a whole number of at least 1, got 1.5'),
        (['chair'], dict(min_pixels=0), 'min_pixels must be a whole number of at least 1, got 0'),
    ],
)
def test_bad_arguments(tiny, hard_classes, kwargs, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(tiny, hard_classes, **kwargs)


def test_bad_files(tiny, tmp_path):
    mask = tmp_path / 'tiny/masks/3.png'
    Image.new('RGB', (6, 6)).save(mask)
    with pytest.raises(ValueError, match='masks/3.png is RGB, expected a palette or gray'):
        bootstrap(tiny, ['chair'])
    mask.unlink()
    with pytest.raises(FileNotFoundError, match='1 of 5 masks are missing.*masks/3.png'):
        bootstrap(tiny, ['chair'])


def test_data_set_without_label_images(tiny):
    tiny['data_prefix'] = dict(img_path='images')
    with pytest.raises(ValueError, match="give the wrapped dataset a data_prefix with 'seg_map"):
        bootstrap(tiny, ['chair'])


def _rank(rank, tiny, root):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2
    )
    cache_file = root / f'rank{rank}.npz'
    dataset = bootstrap(tiny, ['chair'], times=2, cache_file=cache_file)
    assert names(dataset) == [
        0,
        1,
        1,
        2,
        3,
        3,
        4,
    ]
    (root / 'tiny/masks/0.png').unlink(missing_ok=True)
    torch.distributed.barrier()
    with pytest.raises(FileNotFoundError, match='masks are missing'):
        bootstrap(tiny, ['chair'], times=2, cache_file=cache_file)
    torch.distributed.destroy_process_group()


def test_rank_0_builds_for_all(tiny, tmp_path):
    torch.multiprocessing.start_processes(
        _rank, args=(tiny, tmp_path), nprocs=2, start_method='fork'
    )
    assert (tmp_path / 'rank0.npz').is_file()
    assert not (tmp_path / 'rank1.npz').exists()


@pytest.mark.parametrize('hard_classes', [None, 2.5, {}, [[1]], [{'a': 1}], [1.0]])
def test_hard_classes_that_are_none_are_named(hard_classes):
    dataset = mock.Mock(metainfo=dict(classes=('sky', 'tree')))
    with pytest.raises(ValueError, match='(?i)^hard.class'):
        BootstrapDataset(dataset, hard_classes, times=2, lazy_init=True)
