"""Files of classes, as tools and people write them."""

from __future__ import annotations

import pytest

from mmseg_deeplabv3x.prepare.class_table import class_table_text, read_class_table


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / 'classes.txt'
        path.write_text(text, 'utf-8')
        return read_class_table(path)

    return read


@pytest.mark.parametrize(
    'text, names, colours',
    [
        ('sky\n\nred car\n', ['sky', 'red car'], None),
        ('\ufeffsky\nroad 2\n', ['sky', 'road 2'], None),
        (
            '# label:color_rgb:parts:actions\nbackground:0,0,0::\nred car:250,50,83:a,b:c\n',
            ['background', 'red car'],
            [(0, 0, 0), (250, 50, 83)],
        ),
        ('name,r,g,b\nsky,1,2,3\nroad 2, 4, 5, 6\n', ['sky', 'road 2'], [(1, 2, 3), (4, 5, 6)]),
        ('64 128 64\tAnimal\n9 0 9\tAn arch', ['Animal', 'An arch'], [(64, 128, 64), (9, 0, 9)]),
        ('sky 1 2 3\nBäume;4;5;6\n', ['sky', 'Bäume'], [(1, 2, 3), (4, 5, 6)]),
    ],
)  # fmt: skip
def test_reads_names_and_colours(read, text, names, colours):
    assert read(text) == (names, colours)


def test_what_is_written_is_read(read):
    table = (['a b', 'c:d'], [(0, 0, 0), (1, 2, 255)])
    assert read(class_table_text(*table)) == table


def test_names_like_comments_and_colours_come_back(read):
    names = ['#1', '\\#1', '\\\\# a', '\\x', '7', 'x:', 'a,', 'at 1 2 3', 'b:1,2,3']
    table = (names, [(i, 2, 3) for i in range(len(names))])
    assert read(class_table_text(*table)) == table
    assert read('7 1 2 3\n8 4 5 6\n') == (['7', '8'], [(1, 2, 3), (4, 5, 6)])
    assert read('\\#1\n# no name\nb\n').names == ['#1', 'b']


def test_names_of_no_class_are_255_and_the_others_count_on(read):
    assert read('sky\nVoid\nroad\n__ignore__\n').ids() == [0, 255, 1, 255]


@pytest.mark.parametrize(
    'text, said',
    [
        ('\n# none\n', 'names no class'),
        ('sky\nsky\n', "the name 'sky' twice"),
        ('sky 1 2 3\nroad 1 2 3\n', r'the colour \(1, 2, 3\) twice'),
        ('sky 1 2 3\nroad\n', "'road' without"),
        ('sky 1 2 300\n', r'\(1, 2, 300\)'),
    ],
)
def test_what_is_no_table_is_refused(read, text, said):
    with pytest.raises(ValueError, match=said):
        read(text)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'list of classes .*x\.txt does not exist'):
        read_class_table(tmp_path / 'x.txt')


def test_a_folder_and_another_encoding_are_named(tmp_path):
    with pytest.raises(ValueError, match=f'^{tmp_path} is a folder; expected a file, a list of cl'):
        read_class_table(tmp_path)
    (tmp_path / 'x.txt').write_text('sky\nroad\n', 'utf-16')
    with pytest.raises(ValueError, match=r'x\.txt is not a list of classes in UTF-8'):
        read_class_table(tmp_path / 'x.txt')
