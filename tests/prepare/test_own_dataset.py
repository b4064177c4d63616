"""From folders to masks and lists."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmseg_deeplabv3x.datasets.reading import read_mask
from mmseg_deeplabv3x.prepare.own_dataset import draw_split, given_split, make_own_dataset


def lists(root='data/my'):
    return {
        split: BaseSegDataset(
            ann_file=f'{root}/{split}.txt',
            data_prefix=dict(img_path='photos', seg_map_path=f'{root}/masks'),
            img_suffix='',
            pipeline=[],
        )
        for split in ('train', 'val')
    }


def lists_of(made):
    return [Path(made.root, f'{split}.txt').read_text().splitlines() for split in ('train', 'val')]


def make(**changes):
    return make_own_dataset(
        **dict(dict(images='photos', masks='labels', root='data/my'), **changes)
    )


def test_mmsegs_dataset_finds_every_image_with_its_mask(own_data):
    made = make(val_share=0.3)
    found = [info for split in lists().values() for info in split]
    assert len(found) == sum(made.counts.values()) == 11
    for info in found:
        name = info['img_path'].removeprefix('photos/').rpartition('.')[0]
        ids = read_mask(own_data / f'labels/{name}.png')
        assert (read_mask(info['seg_map_path']) == ids).all()
        assert Image.open(info['img_path']).size == ids.shape[::-1]
    assert made.size == (40, 52)
    assert made.classes == ['class 0', 'class 1', 'class 2']
    trained = [read_mask(info['seg_map_path']) for info in lists()['train']]
    assert made.pixels.tolist() == np.bincount(np.ravel(trained), minlength=256)[:3].tolist()


def test_the_same_pixels_are_never_split(own_data):
    for seed in range(5):
        make(seed=seed, root=f'data/{seed}', val_share=0.5)
        for split in lists(f'data/{seed}').values():
            names = {info['img_path'] for info in split}
            assert len(names & {'photos/a 1.JPG', 'photos/other name.jpg'}) != 1


def test_frames_of_a_group_stay_together(own_data):
    make(group='_', val_share=0.4)
    for split in lists().values():
        names = [info['img_path'] for info in split]
        groups = [name.rpartition('_')[0] for name in names if '_' in name]
        assert all(groups.count(group) == 2 for group in groups)


def test_vocs_lists_beside_the_images_say_the_split(own_data):
    drawn = sum(lists_of(make(root='data/drawn')), [])
    names = [name.rpartition('.')[0] for name in drawn]
    folder = own_data / 'ImageSets/Segmentation'
    folder.mkdir(parents=True)
    (folder / 'train.txt').write_text('\n'.join([*names[:4], 'without a mask']))
    assert 'drawn with seed 0' in make(root='data/no_val').said[0]
    (folder / 'val.txt').write_text('\n'.join(names[4:7]) + '\n')
    made = make()
    assert made.counts == dict(train=4, val=3)
    assert made.said[0].endswith('train 4, val 3, as the lists in ImageSets/Segmentation say.')
    assert made.said[1].startswith('4 in none of these lists, left out: ')
    found = [[name.rpartition('.')[0] for name in split] for split in lists_of(made)]
    assert [*map(set, found)] == [{*names[:4]}, {*names[4:7]}]
    (folder / 'val.txt').write_text(f'{names[0]}\n')
    with pytest.raises(ValueError, match=rf'{names[0]} is in .*val.txt and in train.txt'):
        make(root='data/twice')
    (folder / 'val.txt').write_text('other\n')
    with pytest.raises(ValueError, match='val.txt names none of the images with masks of photos'):
        make(root='data/none')


def move(own_data, test, *others):
    """Images c and d, and their masks, to the folder ``test``; all else to one of the others."""
    for top in (own_data / 'photos', own_data / 'labels'):
        for path in [path for path in top.rglob('*') if path.is_file()]:
            folder = test if path.name[0] in 'cd' else others[len(path.stem) % len(others)]
            (top / folder).mkdir(exist_ok=True)
            path.rename(top / folder / path.name)


@pytest.mark.parametrize(
    'folders', [('test', 'train'), ('Testing', 'training'), ('test', 'day 2', 'val')]
)
def test_a_folder_of_test_images_is_kept_out_of_the_draw(own_data, folders):
    move(own_data, *folders)
    made = make()
    assert made.counts == dict(train=6, val=1, test=4)
    assert made.said[0].endswith(', drawn with seed 0, test as its folder says.')
    tested = (own_data / 'data/my/test.txt').read_text().split()
    assert sorted(name.split('/')[1] for name in tested) == [
        'c_1.jpg', 'c_2.jpg', 'd_1.jpg', 'd_2.jpg',
    ]  # fmt: skip


def test_images_in_a_folder_test_alone_are_drawn(own_data):
    move(own_data, 'test', 'test')
    assert make().counts == dict(train=9, val=2)


def test_a_list_of_test_images_is_kept_out_of_the_draw(own_data):
    folder = own_data / 'ImageSets/Segmentation'
    folder.mkdir(parents=True)
    (folder / 'train.txt').write_text('a 1\na 2\nb_1\nb_2\nother name\n')
    (folder / 'test.txt').write_text('c_1\nc_2\n')
    made = make(val_share=0.4)
    assert made.counts == dict(train=3, val=2, test=2)
    assert made.said[0].endswith(', drawn with seed 0, test as its list says.')
    assert made.said[1].startswith('4 in none of these lists, left out: ')
    assert (own_data / 'data/my/test.txt').read_text() == 'c_1.jpg\nc_2.jpg\n'
    (folder / 'test.txt').write_text('without a mask\n')
    assert make(root='data/none', val_share=0.4).counts == dict(train=3, val=2)


def test_a_list_of_test_images_alone_is_kept_out_of_the_draw(own_data):
    folder = own_data / 'ImageSets/Segmentation'
    folder.mkdir(parents=True)
    (folder / 'test.txt').write_text('c_1\nc_2\n')
    made = make()
    assert made.counts == dict(train=7, val=2, test=2)
    assert made.said[0].endswith(', drawn with seed 0, test as its list says.')
    assert (own_data / 'data/my/test.txt').read_text() == 'c_1.jpg\nc_2.jpg\n'


def test_a_labelmap_beside_the_masks_is_taken(own_data):
    (own_data / 'labelmap.txt').write_text('sky:1,1,1::\nroad:2,2,2::\nvoid:3,3,3::\n')
    made = make()
    assert (made.classes, made.palette) == (['sky', 'road'], [(1, 1, 1), (2, 2, 2)])
    assert any('labelmap.txt' in line for line in made.said)
    assert any('void: no class' in line for line in made.said)


def test_what_is_left_out_is_said(own_data):
    (own_data / 'photos/a 1.JPG').unlink()
    (own_data / 'labels/c_1.png').unlink()
    said = ' '.join(make().said)
    assert '1 in photos without mask, left out: c_1.jpg.' in said
    assert '1 in labels without image, left out: a 1.png.' in said


def test_nothing_is_overwritten_and_nothing_half_made(own_data):
    make()
    with pytest.raises(ValueError, match='data/my is there already'):
        make()
    (own_data / 'photos/d_1.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='d_1.jpg'):
        make(root='data/other')
    assert [path.name for path in (own_data / 'data').iterdir()] == ['my']


ALL = np.ones((60, 1), bool)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12), max_size=3), min_size=14, max_size=40), st.integers(0, 9)
)
def test_what_shares_a_key_stays_together(keys, seed):
    keys = [*keys, ['alone'], ['alone, too']]
    splits = draw_split(keys, ALL[: len(keys)], 0.3, seed)
    assert set(splits) == {'train', 'val'}
    of_key = defaultdict(set)
    for own, split in zip(keys, splits):
        for key in own:
            of_key[key].add(split)
    assert all(len(found) == 1 for found in of_key.values())


def test_the_share_is_met_and_the_seed_decides():
    keys = [[i] for i in range(40)]
    splits = [draw_split(keys, ALL[:40], 0.25, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert [drawn.count('val') for drawn in splits] == [10, 10, 10]


@pytest.mark.parametrize('share, chosen', [(0.2, 3), (1 / 3, 5), (0.47, 7), (0.6, 8)])
def test_the_share_is_as_near_as_groups_allow(share, chosen):
    keys = [[group] for group, size in enumerate((7, 5, 3)) for _ in range(size)]
    for seed in range(5):
        assert draw_split(keys, ALL[:15], share, seed).count('val') == chosen


def test_both_parts_hold_each_class():
    holds = np.ones((40, 2), bool)
    holds[2:, 1] = False
    for seed in range(5):
        assert set(draw_split([[i] for i in range(40)], holds, 0.1, seed)[:2]) == {'train', 'val'}


def test_one_group_cannot_be_split():
    with pytest.raises(ValueError, match='All 3 images belong together'):
        draw_split([['a'], ['a', 'b'], ['b']], ALL[:3], 0.2, 0)


def test_folders_say_the_split_only_if_all_do():
    assert given_split(['Train/1', 'valid/a/2', 'test/3']) == ['train', 'val', 'test']
    assert given_split(['train/1', 'val/2', 'other/3']) is None
    assert given_split(['train/1', 'test/2']) is None
