"""Names of images and masks, and what belongs together."""

from __future__ import annotations

import pytest

from mmseg_deeplabv3x.prepare.pairs import find_pairs


@pytest.fixture
def pairs(tmp_path):
    def pairs(images, masks):
        for folder, names in (('img', images), ('ann', masks)):
            for name in names:
                path = tmp_path / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return find_pairs(tmp_path / 'img', tmp_path / 'ann')

    return pairs


def test_suffix_case_and_folder_do_not_matter(pairs):
    images = ['a b.JPG', 'day 1/Ä.jpeg', 'x.y.tif', 'deep/er/c.png', 'd.jpg', 'e.jpg']
    masks = ['A B.png', 'day 1/Ä.PNG', 'x.y.png', 'c.png', 'd_mask.png', 'e.jpg.png']
    assert pairs(images, masks).masks == dict(zip(images, masks))


def test_the_same_place_is_preferred_and_names_may_repeat(pairs):
    images, masks = ['train/1.jpg', 'val/1.jpg'], ['train/1.png', 'val/1.png']
    assert pairs(images, masks).masks == dict(zip(images, masks))


def test_names_with_an_ending_may_repeat_too(pairs):
    images, masks = ['train/1.jpg', 'val/1.jpg'], ['train/1_mask.png', 'val/1_mask.png']
    assert pairs(images, masks).masks == dict(zip(images, masks))


def test_names_of_cityscapes(pairs):
    names = [f'{split}/city/city_{i}' for split in ('train', 'val') for i in range(2)]
    images = [f'{name}_leftImg8bit.png' for name in names]
    kinds = ('labelTrainIds', 'labelIds', 'instanceIds', 'color')
    masks = [f'{name}_gtFine_{kind}.png' for name in names for kind in kinds]
    masks.remove(f'{names[0]}_gtFine_labelTrainIds.png')
    found = pairs(images, masks)
    assert found.masks == {
        image: f'{name}_gtFine_{"labelTrainIds" if name != names[0] else "labelIds"}.png'
        for name, image in zip(names, images)
    }
    assert len(found.masks_alone) == 11


def test_what_is_left_is_listed_and_other_files_are_passed_over(pairs):
    found = pairs(['1.jpg', '2.jpg', 'notes.txt', '._1.jpg'], ['1.png', '3.png', 'Thumbs.db'])
    assert found == ({'1.jpg': '1.png'}, ['2.jpg'], ['3.png'])


@pytest.mark.parametrize(
    'images, masks', [(['1.jpg', '1.JPEG'], ['1.png']), (['a/1.jpg'], ['b/1.png', 'c/1.png'])]
)
def test_several_files_for_one_are_refused(pairs, images, masks):
    with pytest.raises(ValueError, match=r'holds .*1\.\w+, .*1\.\w+, and which'):
        pairs(images, masks)


def test_folders_that_do_not_fit_are_named(pairs, tmp_path):
    with pytest.raises(FileNotFoundError, match='images are named as a.jpg, masks as b.png'):
        pairs(['a.jpg'], ['b.png'])
    with pytest.raises(FileNotFoundError, match='no folder that holds images'):
        find_pairs(tmp_path / 'nowhere', tmp_path / 'ann')
    with pytest.raises(ValueError, match='separate them'):
        find_pairs(tmp_path / 'img', tmp_path / 'img')
