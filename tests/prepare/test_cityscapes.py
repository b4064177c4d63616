import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from PIL import Image

from mmseg_deeplabv3x.prepare import cityscapes
from mmseg_deeplabv3x.prepare.cityscapes import (
    LABELS,
    TRAIN_IDS,
    train_ids,
)

COUNTS = dict(train=2, val=1, test=1, train_extra=2)


def make(folder):
    """leftImg8bit and gtFine or gtCoarse; each image is of another grey, each mask of one id."""
    number = 0
    for split in ('train', 'val', 'train_extra'):
        kind = 'gtCoarse' if split == 'train_extra' else 'gtFine'
        for image in range(COUNTS[split]):
            base = f'{split}/city{image}/city{image}_000000_00001{image}'
            path = folder / f'leftImg8bit/{base}_leftImg8bit.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (20, 10), (number,) * 3).save(path)
            mask = folder / f'{kind}/{base}_{kind}_labelIds.png'
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((10, 20), 7 + number, np.uint8)).save(mask)
            number += 1
    return folder


def test_the_table_of_ids():
    assert len(LABELS) == 34 and CityscapesDataset.METAINFO['classes'] == cityscapes.CLASSES
    used = [(LABELS.index(name), number) for name, number in TRAIN_IDS.items() if number < 255]
    # id and trainId of the evaluated classes, as published with the benchmark
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert used == list(zip(ids, range(19)))


def test_a_label_image_is_translated(tmp_path):
    Image.fromarray(np.arange(34, dtype=np.uint8).reshape(2, 17)).save(tmp_path / 'a.png')
    ids = train_ids(tmp_path / 'a.png')
    assert ids.dtype == np.uint8 and ids.ravel().tolist() == [TRAIN_IDS[name] for name in LABELS]


@pytest.mark.parametrize('kind', ['zip', 'folder', 'in place'])
def test_masks_of_all_splits(small, tmp_path, kind):
    root = tmp_path / 'cityscapes'
    source = make(root if kind == 'in place' else tmp_path / 'source')
    if kind == 'zip':
        source = small.pack(source, tmp_path / 'all.zip')
    shown = cityscapes.prepare_cityscapes(root, [source] * (kind != 'in place'), COUNTS)
    assert shown.endswith('gtFine train 2, gtFine val 1, gtCoarse train_extra 2')
    number = 0
    for split, suffix in (('train', 'Fine'), ('val', 'Fine'), ('train_extra', 'Coarse')):
        data = CityscapesDataset(
            data_root=str(root),
            data_prefix=dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gt{suffix}/{split}'),
            seg_map_suffix=f'_gt{suffix}_labelTrainIds.png',
            lazy_init=True,
        )
        for item in sorted(data.load_data_list(), key=lambda item: item['img_path']):
            assert (small.read(item['img_path']) == number).all()
            mask = small.read(item['seg_map_path'])
            assert mask.shape == (10, 20) and (mask == TRAIN_IDS[LABELS[7 + number]]).all()
            number += 1
    assert number == 5
    assert {path.name for path in tmp_path.iterdir()} <= {'cityscapes', 'source', 'all.zip'}


def make_extra(folder, *names):
    """Coarse images and labels of ``CITY/NAME``."""
    for name in names:
        for kind, ending in (('leftImg8bit', ''), ('gtCoarse', '_labelIds')):
            path = folder / f'{kind}/train_extra/{name}_{kind}{ending}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('L', (20, 10), 7).save(path)
    return folder


def test_the_cities_of_train_extra_may_have_a_hyphen(tmp_path):
    names = ('bad-honnef/bad-honnef_000000_000019', 'muhlheim-ruhr/muhlheim-ruhr_000000_000019')
    source = make_extra(tmp_path / 'source', *names)
    shown = cityscapes.prepare_cityscapes(tmp_path / 'out', [source], COUNTS)
    assert shown.endswith('gtCoarse train_extra 2')


@pytest.mark.parametrize(
    'absent,left', [([], 2), (['leftImg8bit'], 1), (['leftImg8bit', 'gtCoarse'], 1)]
)
def test_the_black_image_of_train_extra_may_be_removed(tmp_path, absent, left):
    black = 'troisdorf/troisdorf_000000_000073'
    source = make_extra(tmp_path / 'source', 'bamberg/bamberg_000000_000001', black)
    for kind in absent:
        next((source / kind).glob(f'train_extra/{black}*')).unlink()
    shown = cityscapes.prepare_cityscapes(tmp_path / 'out', [source], COUNTS)
    assert shown.endswith(f'gtCoarse train_extra {left}')


def test_the_black_image_needs_its_mask_where_it_is_there(tmp_path):
    black = 'troisdorf/troisdorf_000000_000073'
    source = make_extra(tmp_path / 'source', 'bamberg/bamberg_000000_000001', black)
    next((source / 'gtCoarse').glob(f'train_extra/{black}*')).unlink()
    with pytest.raises(FileNotFoundError, match=f'without a partner: train_extra/{black}'):
        cityscapes.prepare_cityscapes(tmp_path / 'out', [source], COUNTS)


def test_a_second_run_makes_only_what_is_missing(small, tmp_path):
    root = make(tmp_path / 'data')
    cityscapes.prepare_cityscapes(root, counts=COUNTS)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}
    again = next(path for path in times if 'labelTrainIds' in path.name)
    again.unlink()
    cityscapes.prepare_cityscapes(root, counts=COUNTS)
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {again}


def test_what_is_missing_is_named(small, tmp_path):
    with pytest.raises(FileNotFoundError, match='Cityscapes needs an account: log in at'):
        cityscapes.prepare_cityscapes(tmp_path / 'absent')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no images and masks of Cityscapes.* an account'):
        cityscapes.prepare_cityscapes(tmp_path / 'empty')
    source = make(tmp_path / 'source')
    next(source.glob('gtFine/train/city1/*_labelIds.png')).unlink()
    with pytest.raises(FileNotFoundError, match='gtFine/train has masks for 1 images.*city1_0000'):
        cityscapes.prepare_cityscapes(tmp_path / 'out', [source], COUNTS)
    next(source.glob('gtFine/train/city0/*_labelIds.png')).unlink()
    with pytest.raises(FileNotFoundError, match='leftImg8bit/train has images but no masks'):
        cityscapes.prepare_cityscapes(tmp_path / 'out2', [source], COUNTS)
    with pytest.raises(ValueError, match='leftImg8bit/train has 2 images, not 2975: some are miss'):
        cityscapes.prepare_cityscapes(tmp_path / 'out3', [source])
    assert not any((tmp_path / name).exists() for name in ('out', 'out2', 'out3'))


@pytest.mark.parametrize(
    'pixels,problem',
    [
        (np.full((2, 2), 34, np.uint8), 'holds the id 34; .* 0 to 33'),
        (np.zeros((2, 2, 3), np.uint8), 'is RGB, expected'),
    ],
)
def test_a_damaged_label_image_is_named(tmp_path, pixels, problem):
    Image.fromarray(pixels).save(tmp_path / 'a_labelIds.png')
    with pytest.raises(ValueError, match=f'a_labelIds.png {problem}'):
        train_ids(tmp_path / 'a_labelIds.png')
