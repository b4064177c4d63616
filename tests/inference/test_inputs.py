from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmseg_deeplabv3x.inference.inputs import find_inputs


@pytest.fixture
def photos(tmp_path):
    for name in (
        'photos/a.JPG',
        'photos/sub/a.jpeg',
        'photos/sub/b.png',
        'photos/sub/b.tif',
        'photos/notes.txt',
        'photos/.hidden/c.jpg',
        'photos/._a.jpg',
        'photos/clip.MP4',
        'others/a.jpg',
        'odd.dat',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(found, root):
    return {one.name: one.path.relative_to(root).as_posix() for one in found}


def test_a_folder_is_searched_and_keeps_its_sub_folders(photos):
    assert names(find_inputs([photos / 'photos']), photos) == {
        'a': 'photos/a.JPG',
        'clip': 'photos/clip.MP4',
        'sub/a': 'photos/sub/a.jpeg',
        'sub/b.png': 'photos/sub/b.png',
        'sub/b.tif': 'photos/sub/b.tif',
    }


def test_only_the_video_is_one(photos):
    videos = [one.path.name for one in find_inputs([photos / 'photos']) if one.is_video]
    assert videos == ['clip.MP4']


def test_files_of_one_name_in_several_folders_stay_apart(photos):
    found = find_inputs([photos / 'photos', photos / 'others'])
    assert names(found, photos)['photos/a'] == 'photos/a.JPG'
    assert names(found, photos)['others/a'] == 'others/a.jpg'
    assert len({one.name for one in found}) == len(found) == 6


def test_no_two_results_have_one_name(tmp_path):
    for name in ('a.jpg', 'a.png', 'a.jpg.tif', 'a.jpg.tif.gif', 'b.PNG'):
        (tmp_path / name).touch()
    found = names(find_inputs([tmp_path]), tmp_path)
    assert set(found.values()) == {'a.jpg', 'a.png', 'a.jpg.tif', 'a.jpg.tif.gif', 'b.PNG'}
    assert found['b'] == 'b.PNG' and found['a.jpg'] == 'a.jpg'


def test_a_file_that_is_named_may_have_any_suffix_and_counts_once(photos):
    found = find_inputs([photos / 'odd.dat', photos / 'odd.dat'])
    assert names(found, photos) == {'odd': 'odd.dat'}


def test_a_pattern_is_expanded(photos, monkeypatch):
    monkeypatch.chdir(photos)
    found = find_inputs(['photos/**/*.j*g'])
    assert {one.name: one.path for one in found} == {'a': Path('photos/sub/a.jpeg')}


def test_results_of_an_earlier_call_are_no_images(photos):
    results = photos / 'photos/sub/out/masks'
    results.mkdir(parents=True)
    (results / 'a.png').touch()
    assert len(find_inputs([photos / 'photos'])) == 6
    for named in (photos / 'photos', photos / 'photos/**/*.*'):
        found = names(find_inputs([named], [results]), photos)
        assert 'photos/sub/b.png' in found.values()
        assert 'photos/sub/out/masks/a.png' not in found.values()
    for named in (results, results / 'a.png'):  # asked for
        assert [one.name for one in find_inputs([named], [results])] == ['a']


def test_an_empty_list_is_named():
    with pytest.raises(FileNotFoundError, match='The list of images is empty'):
        find_inputs([])


def test_links_that_lead_back_do_not_loop(photos):
    os.symlink(photos / 'photos', photos / 'photos/sub/back')
    assert len(find_inputs([photos / 'photos'])) == 5


def test_unusual_names(tmp_path):
    for name in ('a b.jpg', 'ü[1].jpg', 'two\nlines.jpg'):
        (tmp_path / name).touch()
    assert {one.name for one in find_inputs([tmp_path])} == {'a b', 'ü[1]', 'two\nlines'}
    assert [one.name for one in find_inputs([tmp_path / 'ü[1].jpg'])] == ['ü[1]']


@pytest.mark.parametrize('name', ['none.jpg', 'none/*.jpg', 'empty'])
def test_what_is_not_there_is_named(tmp_path, name):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=name.replace('*', r'\*')):
        find_inputs([tmp_path / name])
