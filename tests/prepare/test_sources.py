import re

import pytest

from mmseg_deeplabv3x.prepare.sources import find_files

LAYOUT = re.compile(r'(?:^|/)(images/\w+\.txt)$')


def find(tmp_path, *sources, wanted=lambda name: True):
    scratch = tmp_path / 'scratch'
    scratch.mkdir(exist_ok=True)
    return {name: path.read_text() for name, path in find_files(sources, LAYOUT, wanted, scratch)}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_are_found_at_any_depth_and_the_first_counts(small, tmp_path):
    write(tmp_path / 'a/images/x.txt', 'a')
    write(tmp_path / 'b/deep/er/images/x.txt', 'b')
    write(tmp_path / 'b/deep/er/images/y.txt', 'b')
    write(tmp_path / 'b/deep/er/other/z.txt', 'b')
    write(tmp_path / 'b/.hidden/images/z.txt', 'b')
    archives = [small.pack(tmp_path / 'b', tmp_path / name) for name in ('b.zip', 'b.tar', 'b.tgz')]
    for source in (tmp_path / 'b', *archives[1:]):
        assert find(tmp_path, tmp_path / 'a', source)['images/y.txt'] == 'b'
        assert find(tmp_path, tmp_path / 'a', source)['images/x.txt'] == 'a'
        assert find(tmp_path, source, tmp_path / 'a')['images/x.txt'] == 'b'
    assert set(find(tmp_path, tmp_path / 'b')) == {'images/x.txt', 'images/y.txt'}


@pytest.mark.parametrize('name', ['', 'a.zip', 'a.tar', 'a.tgz'])
def test_what_is_hidden_is_passed_over(small, tmp_path, name):
    layout = re.compile(r'(?:^|/)(images/[^/]+\.txt)$')
    for path in ('images/x.txt', '__MACOSX/images/._x.txt', '.trash/images/y.txt'):
        write(tmp_path / 'a' / path, path)
    source = small.pack(tmp_path / 'a', tmp_path / name) if name else tmp_path / 'a'
    found = find_files([source], layout, lambda name: True, tmp_path)
    assert [name for name, _ in found] == ['images/x.txt']


def test_only_what_is_wanted_is_unpacked(small, tmp_path):
    for name in 'xyz':
        write(tmp_path / f'a/images/{name}.txt', name)
    archive = small.pack(tmp_path / 'a', tmp_path / 'a.tgz')
    assert find(tmp_path, archive, wanted=lambda name: 'y' in name) == {'images/y.txt': 'y'}
    assert len(list((tmp_path / 'scratch').iterdir())) == 1


def test_folders_that_are_links_are_followed_once(tmp_path):
    write(tmp_path / 'disk/images/x.txt', 'x')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/here').symlink_to(tmp_path / 'disk')
    (tmp_path / 'disk/images/round').symlink_to(tmp_path / 'disk')
    assert find(tmp_path, tmp_path / 'data') == {'images/x.txt': 'x'}


def test_what_is_no_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='--from .*absent.zip: there is no such'):
        find(tmp_path, tmp_path / 'absent.zip')
    write(tmp_path / 'a.rar', '')
    with pytest.raises(ValueError, match=r'a.rar: neither a folder nor an archive \(.zip, .tar'):
        find(tmp_path, tmp_path / 'a.rar')
