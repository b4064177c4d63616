"""A file is whole or not there."""

import pytest

from mmseg_deeplabv3x.files import remove_unfinished, write_file, written_aside


@pytest.mark.parametrize('content,expected', [('é\n', b'\xc3\xa9\n'), (b'\x00\xff', b'\x00\xff')])
def test_replaces_what_is_there(tmp_path, content, expected):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    write_file(str(path), content)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_its_folder_is_made(tmp_path):
    write_file(tmp_path / 'new/er/a.txt', 'a')
    assert (tmp_path / 'new/er/a.txt').read_text() == 'a'


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    path.mkdir()  # nothing can be renamed to it
    with pytest.raises(OSError):
        write_file(path, 'new')
    assert list(tmp_path.iterdir()) == [path] and path.is_dir()


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(KeyError), written_aside(path) as aside:
        aside.write_text('half')
        raise KeyError
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in ('.a.pth.123.tmp', '.last.9.tmp'):
        (tmp_path / name).touch()
    others = {'a.pth', '.hidden', 'a.123.tmp', '.a.tmp'}
    for name in others:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others
