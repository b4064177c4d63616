import pytest

from mmseg_deeplabv3x.datasets.lists import first_few, read_split, write_split


def test_names_come_in_the_order_of_the_file(tmp_path):
    write_split(tmp_path / 'a.txt', ['b', 'a'])
    assert read_split(tmp_path / 'a.txt') == ['b', 'a']
    (tmp_path / 'a.txt').write_text('b \r\n\r\n a')
    assert read_split(tmp_path / 'a.txt') == ['b', 'a']


@pytest.mark.parametrize(
    'content,message',
    [
        (b'', 'is empty'),
        (b'\n \n', 'is empty'),
        (b'a\nb\na\n', "holds 'a' 2 times"),
        (b'../a\n', "holds '../a', which is not the name"),
        (b'..\n', "holds '..', which is not the name"),
        (b'person 1\n', "holds 'person 1', which is not the name"),
        (b'\xff\xfe\x00', 'is not a list of image names in UTF-8'),
    ],
)
def test_a_bad_list_is_named(tmp_path, content, message):
    (tmp_path / 'train.txt').write_bytes(content)
    with pytest.raises(ValueError, match=f'train.txt {message}'):
        read_split(tmp_path / 'train.txt')


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent.txt'):
        read_split(tmp_path / 'absent.txt')


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(ValueError, match=f'^{tmp_path} is a folder; expected a file, a list of im'):
        read_split(tmp_path)


def test_first_few():
    assert first_few('abc') == 'a, b, c' and first_few('abcde') == 'a, b, c and 2 more'


@pytest.mark.parametrize('name', ['\ufeffa', 'a\0', 'a\u2028b', 'x' * 300, 'y/' * 3000])
def test_a_line_that_is_no_name_is_refused_in_short(tmp_path, name):
    (tmp_path / 'list.txt').write_text(f'{name}\nb\n', 'utf-8')
    with pytest.raises(ValueError, match='list.txt holds .* not the name of an image') as error:
        read_split(tmp_path / 'list.txt')
    assert len(str(error.value)) < 400


def test_a_name_may_be_as_long_as_a_file_system_takes(tmp_path):
    write_split(tmp_path / 'list.txt', ['x' * 250])
    assert read_split(tmp_path / 'list.txt') == ['x' * 250]
    write_split(tmp_path / 'list.txt', ['x' * 251])
    with pytest.raises(ValueError, match='not the name of an image'):
        read_split(tmp_path / 'list.txt')
