import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmseg_deeplabv3x.prepare.output import Output, fresh_output


def put(out, name, text='x'):
    with out.writing(name) as path:
        path.write_text(text)


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob('*') if p.is_file())


def test_a_new_folder_appears_at_the_end_and_nothing_stays_beside(tmp_path):
    root = tmp_path / 'deep/data'
    with Output(root) as out:
        put(out, 'a/b.txt')
        assert not root.exists()
        assert out.has('a/b.txt') and not out.has('a/c.txt')
    assert tree(tmp_path) == ['deep/data/a/b.txt']
    assert os.listdir(root.parent) == ['data']


def test_nothing_done_leaves_nothing(tmp_path):
    with Output(tmp_path / 'data'):
        pass
    with pytest.raises(KeyError), Output(tmp_path / 'deep/er/data'):
        raise KeyError
    assert not any(tmp_path.iterdir())


def test_after_an_error_the_next_run_goes_on(tmp_path, capsys):
    root = tmp_path / 'data'
    with pytest.raises(KeyError), Output(root) as out:
        put(out, 'first')
        with out.writing('second') as path:
            path.write_text('half')
            raise KeyError
    assert not root.exists()
    assert f'Finished files are kept in {tmp_path}/.data.partial for the' in capsys.readouterr().out
    with Output(root) as out:
        assert out.has('first') and not out.has('second')
        put(out, 'second')
    assert tree(tmp_path) == ['data/first', 'data/second']


def test_of_a_fresh_one_nothing_is_kept(tmp_path, capsys):
    with pytest.raises(KeyError), Output(tmp_path / 'data') as out:
        put(out, 'left')
        raise KeyError
    capsys.readouterr()
    with pytest.raises(KeyError), fresh_output(tmp_path / 'data') as out:
        assert not out.has('left')
        put(out, 'first')
        raise KeyError
    assert not any(tmp_path.iterdir()) and not capsys.readouterr().out
    with fresh_output(tmp_path / 'data') as out:
        put(out, 'second')
    assert tree(tmp_path) == ['data/second']
    with pytest.raises(ValueError, match='is there already'):
        fresh_output(tmp_path / 'data')


def test_files_of_like_or_long_names_do_not_mix(tmp_path):
    names = 'masks/site/1_01.png', 'masks/site_1/01.png', f'{"f" * 200}/{"n" * 240}.png'
    with Output(tmp_path / 'data') as out, ExitStack() as stack:
        for name in names:
            path = stack.enter_context(out.writing(name))
            path.write_text(name)
            assert path.suffix == '.png'  # which says to Pillow what to write
    assert [(tmp_path / 'data' / name).read_text() for name in names] == list(names)


def test_an_existing_folder_keeps_its_files_and_gets_the_new_ones(tmp_path):
    root = tmp_path / 'data'
    root.mkdir()
    (root / 'mine').write_text('mine')
    (root / 'painted').write_text('old')
    with Output(root) as out:
        for name in ('A/list.txt', 'z/image.jpg', 'painted'):
            put(out, name, 'new')
        assert out.path('painted').read_text() == 'new' and out.path('mine') == root / 'mine'
        assert out.names('*/*') == ['A/list.txt', 'z/image.jpg']
        assert (root / 'painted').read_text() == 'old'
    assert tree(root) == ['A/list.txt', 'mine', 'painted', 'z/image.jpg']
    assert (root / 'mine').read_text() == 'mine' and (root / 'painted').read_text() == 'new'
    assert sorted(os.listdir(tmp_path)) == ['data']


def test_lists_arrive_last(tmp_path):
    root = tmp_path / 'data'
    root.mkdir()
    (root / 'z').touch()  # in the way of the images' folder
    with pytest.raises(OSError), Output(root) as out:
        for name in ('A/list.txt', 'record.json', 'm/image.jpg', 'z/image.jpg'):
            put(out, name)
    assert tree(root) == ['m/image.jpg', 'z']


def test_a_link_in_place_of_the_folder_is_followed(tmp_path):
    (tmp_path / 'disk/data').mkdir(parents=True)
    (tmp_path / 'data').symlink_to(tmp_path / 'disk/data')
    with Output(tmp_path / 'data') as out:
        assert out.aside.parent == tmp_path / 'disk'
        put(out, 'a')
    assert (tmp_path / 'data').is_symlink() and tree(tmp_path / 'disk') == ['data/a']


@pytest.mark.parametrize('links', [True, False])
def test_place_keeps_the_source(tmp_path, monkeypatch, links):
    def no_link(*_):
        raise OSError('other file system')

    if not links:
        monkeypatch.setattr(os, 'link', no_link)
    source = tmp_path / 'source'
    source.write_text('content')
    (tmp_path / 'link').symlink_to(source)
    with Output(tmp_path / 'data') as out:
        out.place(tmp_path / 'link', 'a/b')
    placed = tmp_path / 'data/a/b'
    assert placed.read_text() == 'content' and source.exists() and not placed.is_symlink()
    assert placed.samefile(source) == links
