import numpy as np
import pytest
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import BadSampleError
from mmseg_deeplabv3x.transforms import LoadCheckedAnnotations


@pytest.fixture
def results(tmp_path):
    """Annotation of a mask with every id of 5 classes, and 255."""
    labels = np.resize(np.uint8([0, 1, 2, 3, 4, 255]), (6, 10))
    Image.fromarray(labels).save(tmp_path / 'mask.png')

    def make(**changes):
        given = dict(
            img_path='image.jpg',
            seg_map_path=str(tmp_path / 'mask.png'),
            reduce_zero_label=False,
            label_map=None,
            seg_fields=[],
        )
        return dict(given, **changes)

    return make


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0, 3: 255, 4: 2}])
def test_loads_what_the_stock_transform_loads(results, reduce_zero_label, label_map):
    given = dict(reduce_zero_label=reduce_zero_label, label_map=label_map)
    expected = LoadAnnotations()(results(**given))
    found = LoadCheckedAnnotations(num_classes=5)(results(**given))
    assert found['gt_seg_map'].dtype == np.uint8
    assert np.array_equal(found.pop('gt_seg_map'), expected.pop('gt_seg_map'))
    assert found == expected


def test_ids_out_of_range(results):
    with pytest.raises(
        BadSampleError, match=r'mask.png .*no class: 4 \(10 pixels\); expected 0 to 3 or 255'
    ):
        LoadCheckedAnnotations(num_classes=4)(results())
    LoadCheckedAnnotations(num_classes=4)(results(reduce_zero_label=True))
    LoadCheckedAnnotations()(results())  # not told the number of classes


def test_the_expected_ids_are_those_of_the_file(results):
    with pytest.raises(BadSampleError, match=r'4 \(10 pixels\); expected 0 to 3 or 255'):
        LoadCheckedAnnotations(num_classes=3)(results(reduce_zero_label=True))


def test_size_is_compared_with_the_image_before_any_resizing(results):
    resized = dict(ori_shape=(6, 10), img_shape=(3, 5), img=np.zeros((3, 5, 3)))
    LoadCheckedAnnotations()(results(**resized))
    with pytest.raises(BadSampleError, match='mask.png has 6x10 .* image.jpg 9x9'):
        LoadCheckedAnnotations()(results(ori_shape=(9, 9)))


def test_a_missing_mask_is_named(results):
    with pytest.raises(FileNotFoundError, match='gone.png does not exist'):
        LoadCheckedAnnotations()(results(seg_map_path='gone.png'))


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('imdecode_backend', ['pillow', 'cv2'])
def test_arguments_of_the_stock_transform(
    results, tmp_path, bits, reduce_zero_label, imdecode_backend
):
    labels = np.resize(np.array([0, 1, 2, 254, 255, 2**bits - 1], f'u{bits // 8}'), (6, 10))
    Image.fromarray(labels).save(tmp_path / 'mask.png')
    arguments = dict(reduce_zero_label=reduce_zero_label, imdecode_backend=imdecode_backend)
    given = dict(reduce_zero_label=reduce_zero_label)
    expected = LoadAnnotations(**arguments)(results(**given))
    found = LoadCheckedAnnotations(**arguments)(results(**given))
    assert np.array_equal(found['gt_seg_map'], expected['gt_seg_map'])


def test_what_it_cannot_do_names_the_class_that_can(results):
    with pytest.raises(ValueError, match="imdecode_backend='tifffile' is for LoadAnnotations"):
        LoadCheckedAnnotations(imdecode_backend='tifffile')


def test_the_dataset_decides_on_the_zero_label(results):
    with pytest.raises(ValueError, match='reduce_zero_label=True and its dataset False'):
        LoadCheckedAnnotations(reduce_zero_label=True)(results())


def test_ids_above_255_are_refused(results, tmp_path):
    Image.fromarray(np.full((6, 10), 256, np.uint16)).save(tmp_path / 'mask.png')
    with pytest.raises(BadSampleError, match='mask.png holds id 256, expected 0 to 255'):
        LoadCheckedAnnotations()(results())


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_a_thousand_classes(results, tmp_path, reduce_zero_label):
    ids = np.resize(np.uint16([65535, 255, 256, 998, 1000 if reduce_zero_label else 0]), (6, 10))
    Image.fromarray(ids).save(tmp_path / 'mask.png')
    load = LoadCheckedAnnotations(num_classes=1000, ignore_index=65535)
    labels = load(results(reduce_zero_label=reduce_zero_label))['gt_seg_map']
    expected = np.where(ids == 65535, ids, ids - reduce_zero_label)
    assert labels.dtype == np.uint16 and np.array_equal(labels, expected)
    mapped = load(results(label_map={998: 7, 1000: 7}))['gt_seg_map']
    assert np.array_equal(mapped, np.where(np.isin(ids, [998, 1000]), 7, ids))
    Image.fromarray(ids + np.uint16(10)).save(tmp_path / 'mask.png')
    with pytest.raises(
        BadSampleError, match=r'no class: 10\d\d \(12 .*; expected \d+ to [19]\d+ or'
    ):
        load(results(reduce_zero_label=reduce_zero_label))


def test_masks_of_8_bits_among_a_thousand_classes(results, tmp_path):
    ids = np.resize(np.uint8([0, 1, 254, 255]), (6, 10))
    Image.fromarray(ids).save(tmp_path / 'mask.png')
    load = LoadCheckedAnnotations(num_classes=1000, ignore_index=65535)
    labels = load(results(reduce_zero_label=True))['gt_seg_map']
    assert np.array_equal(labels, np.where(ids == 0, 65535, ids.astype(int) - 1))
    assert np.array_equal(load(results())['gt_seg_map'], ids)
    labels = load(results(label_map={255: 300}))['gt_seg_map']
    assert np.array_equal(labels, np.where(ids == 255, 300, ids.astype(int)))


def test_classes_left_out_of_a_thousand_are_refused(results, tmp_path):
    Image.fromarray(np.full((6, 10), 999, np.uint16)).save(tmp_path / 'mask.png')
    load = LoadCheckedAnnotations(num_classes=300, ignore_index=65535)
    names = [str(i) for i in range(1000)]

    class Thousand(BaseSegDataset):
        METAINFO = dict(classes=names, palette=[[0, 0, 0]] * 1000)

    def loaded(kept):
        dataset = Thousand(metainfo=dict(classes=kept), lazy_init=True)
        return load(results(label_map=dataset.label_map))

    with pytest.raises(ValueError, match='mmseg makes those that are left out class 255') as error:
        loaded(names[:300])
    assert not isinstance(error.value, BadSampleError)  # which may be skipped
    # in another order, 255 is one of them
    labels = loaded(names[:254] + names[:-2:-1] + names[254:-1])['gt_seg_map']
    assert (labels == 254).all()


@pytest.mark.parametrize('ignore_index', [4, 0, 250, -100])
def test_another_ignored_label(results, ignore_index):
    load = LoadCheckedAnnotations(num_classes=4, ignore_index=ignore_index)
    named = [4, 255] if ignore_index != 4 else [255]
    with pytest.raises(BadSampleError) as error:
        load(results())
    assert all(f'{label} (10 pixels)' in str(error.value) for label in named)
    load(results(label_map={4: ignore_index % 256, 255: ignore_index % 256}) if ignore_index >= 0
         else results(label_map={4: 0, 255: 0}))  # fmt: skip


@pytest.mark.parametrize('num_classes', [255, 256])
def test_as_many_classes_as_there_are_ids(results, num_classes):
    LoadCheckedAnnotations(num_classes=num_classes)(results())
